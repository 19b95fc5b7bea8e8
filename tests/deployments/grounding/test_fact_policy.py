"""What is passed on of an answer whose sentences were checked."""

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.gateway.grounding.attribution import SentenceSupport, Support, groundedness
from deployments.gateway.grounding.events import (
    AnswerEvent,
    Citation,
    Finished,
    Searched,
    SentenceAttributed,
    TextDelta,
)
from deployments.gateway.grounding.fact_policy import FactPolicy, Step, without_dropped
from deployments.model.messages import Usage
from tests.fakes.chat import passage

REFUSAL = "I don't know."
DROPS = FactPolicy("drop", "drop")
PASSAGE = passage("Ice is cold.")
PLACE = Support(0, 1.0, "terms", 0, 12)

KINDS = ("supported", "contradicted", "unverifiable", "nothing")


@dataclass
class Answer:
    """An answer as `Answering` tells it: pieces of text, then each sentence, then the whole."""

    sentences: Sequence[tuple[str, str]]
    """(text, one of KINDS)."""
    gaps: Sequence[str] = ()
    before: str = ""
    after: str = ""
    finish_reason: str = "stop"
    text: str = field(init=False, default="")
    checked: list[SentenceSupport] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.text = self.before
        for number, (said, kind) in enumerate(self.sentences):
            if number:
                self.text += self.gaps[number - 1] if self.gaps else " "
            start = len(self.text)
            self.text += said
            self.checked.append(_checked(kind, start, len(self.text)))
        self.text += self.after

    async def events(self) -> AsyncGenerator[AnswerEvent, None]:
        yield Searched("q", (PASSAGE,))
        at = 0
        for sentence in self.checked:
            for end in range(at + 1, sentence.end + 1, 3):
                yield TextDelta(self.text[at : min(end, sentence.end)])
                at = min(end, sentence.end)
            yield TextDelta(self.text[at : sentence.end])
            at = sentence.end
            yield SentenceAttributed(sentence, _citations(sentence))
        if self.text[at:]:
            yield TextDelta(self.text[at:])
        yield Finished(
            self.text,
            self.finish_reason,
            Usage(5, 6),
            sentences=tuple(self.checked),
            citations=tuple(c for s in self.checked for c in _citations(s)),
            groundedness=groundedness(self.checked),
            contradictions=tuple(_cited(s) for s in self.checked if s.contradicted_by),
        )


def _checked(kind: str, start: int, end: int) -> SentenceSupport:
    return SentenceSupport(
        start,
        end,
        (PLACE,) if kind == "supported" else (),
        checkable=kind != "nothing",
        reason="" if kind == "supported" else f"because {kind}",
        contradicted_by=PLACE if kind == "contradicted" else None,
    )


def _citations(sentence: SentenceSupport) -> tuple[Citation, ...]:
    return (_cited(sentence),) if sentence.supported else ()


def _cited(sentence: SentenceSupport) -> Citation:
    return Citation(sentence.start, sentence.end, PASSAGE, 1, "Ice is cold.", 1.0, "terms")


async def _told(
    answer: Answer, policy: FactPolicy = DROPS
) -> tuple[str, list[SentenceAttributed], Finished]:
    text, sentences = "", []
    finished: Finished | None = None
    async for event in without_dropped(answer.events(), policy, REFUSAL):
        assert finished is None, "nothing comes after the whole answer"
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, SentenceAttributed):
            assert len(text) == event.sentence.end, "a sentence follows its text"
            sentences.append(event)
        elif isinstance(event, Finished):
            finished = event
    assert finished is not None
    return text, sentences, finished


GAPS = st.sampled_from([" ", "  ", "\n", "\n\n", "\n  "])


@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=7),
    contradicted=st.sampled_from(["flag", "drop"]),
    unverifiable=st.sampled_from(["flag", "drop"]),
    gaps=st.lists(GAPS, min_size=7, max_size=7),
    around=st.tuples(st.sampled_from(["", " ", "\n"]), st.sampled_from(["", " ", "\n"])),
)
@settings(max_examples=150, deadline=None)
async def test_what_is_passed_on_is_what_the_places_point_at(
    kinds: list[str],
    contradicted: Step,
    unverifiable: Step,
    gaps: list[str],
    around: tuple[str, str],
) -> None:
    said = [(f"S{number} is {kind}.", kind) for number, kind in enumerate(kinds)]
    answer = Answer(said, gaps, *around)
    policy = FactPolicy(contradicted, unverifiable)
    text, events, finished = await _told(answer, policy)

    assert text == finished.text
    steps = {"contradicted": contradicted, "unverifiable": unverifiable}
    dropped = [s for s, kind in said if steps.get(kind) == "drop"]
    assert [one.text for one in finished.dropped] == dropped
    assert not any(one in text for one in dropped)
    kept = [(s, kind) for s, kind in said if s not in dropped]
    if dropped and all(kind == "nothing" for _, kind in kept):
        assert (text, finished.refused) == (REFUSAL, True)
        assert not (finished.sentences or finished.citations or finished.contradictions or events)
        return
    assert not finished.refused
    assert [text[s.start : s.end] for s in finished.sentences] == [s for s, _ in kept]
    assert tuple(event.sentence for event in events) == finished.sentences
    assert [text[c.start : c.end] for c in finished.citations] == [
        s for s, kind in kept if kind == "supported"
    ]
    assert tuple(c for event in events for c in event.citations) == finished.citations
    assert [text[c.start : c.end] for c in finished.contradictions] == [
        s for s, kind in kept if kind == "contradicted"
    ]
    assert finished.groundedness == groundedness(finished.sentences)
    assert text.split() == " ".join(s for s, _ in kept).split()


@pytest.mark.parametrize(
    ("contradicted", "unverifiable"),
    list(itertools.product(("flag", "drop", "regenerate"), repeat=2)),
)
def test_a_policy_says_what_stays_and_when_to_ask_anew(
    contradicted: Step, unverifiable: Step
) -> None:
    policy = FactPolicy(contradicted, unverifiable)
    wrong, unknown = _checked("contradicted", 0, 1), _checked("unverifiable", 0, 1)
    assert policy.keeps(wrong) == (contradicted == "flag")
    assert policy.keeps(unknown) == (unverifiable == "flag")
    assert policy.keeps(_checked("supported", 0, 1))
    assert policy.keeps(_checked("nothing", 0, 1))
    assert policy.rejects([wrong]) == (contradicted == "regenerate")
    assert policy.rejects([unknown]) == (unverifiable == "regenerate")
    assert not policy.rejects([_checked("supported", 0, 1)])
    assert policy.flags_only == (policy.keeps(wrong) and policy.keeps(unknown))
    assert policy.asks_anew == (policy.rejects([wrong]) or policy.rejects([unknown]))


async def test_a_sentence_is_passed_on_as_soon_as_it_was_checked() -> None:
    answer = Answer([("Ice is cold.", "supported"), ("Fire is hot.", "supported")])
    source = answer.events()
    seen: list[AnswerEvent] = []
    async with aclosing(without_dropped(source, DROPS, REFUSAL)) as events:
        async for event in events:
            seen.append(event)
            if isinstance(event, SentenceAttributed):
                break
    assert [event.text for event in seen if isinstance(event, TextDelta)] == ["Ice is cold."]
    with pytest.raises(StopAsyncIteration):
        await anext(source)  # closed with what was made of it


async def test_a_paragraph_stays_one_without_its_first_sentence() -> None:
    answer = Answer(
        [("One.", "supported"), ("Two.", "contradicted"), ("Three.", "supported")], ("\n\n", " ")
    )
    text, _, _ = await _told(answer)
    assert text == "One.\n\nThree."


async def test_what_claims_nothing_waits_for_a_claim_that_stays() -> None:
    opening = ("Here it is:", "nothing")
    refused, _, finished = await _told(Answer([opening, ("Ice is hot.", "contradicted")]))
    assert (refused, finished.groundedness) == (REFUSAL, None)
    text, _, _ = await _told(
        Answer([opening, ("Ice is hot.", "contradicted"), ("Ice is cold.", "supported")])
    )
    assert text == "Here it is: Ice is cold."
    alone, _, finished = await _told(Answer([opening]))
    assert (alone, finished.refused) == ("Here it is:", False)


async def test_text_without_sentences_is_passed_on_whole() -> None:
    text, _, finished = await _told(Answer([], before="…  "))
    assert (text, finished.text, finished.refused) == ("…  ", "…  ", False)


@pytest.mark.parametrize(
    ("given_", "told"), [("length", "stop"), ("stop", "stop"), ("content_filter", "content_filter")]
)
async def test_a_refusal_is_whole_where_the_answer_was_cut(given_: str, told: str) -> None:
    answer = Answer([("Ice is hot.", "contradicted")], finish_reason=given_)
    _, _, finished = await _told(answer)
    assert finished.finish_reason == told


async def test_a_dropped_sentence_keeps_its_verdict_and_reason() -> None:
    _, _, finished = await _told(
        Answer([("Ice is hot.", "contradicted"), ("Ice is cold.", "supported")])
    )
    (dropped,) = finished.dropped
    assert (dropped.text, dropped.verdict) == ("Ice is hot.", "contradicted")
    assert dropped.reason == "because contradicted"
