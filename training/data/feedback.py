"""From what people said of answers to rows to train on, each with the ids it came from.

A correction is a good answer, and the corrected one a bad one, unless it has a thumb up as well;
thumbs say it of the answer itself. What some call good and others bad is left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from training.data.texts import normalised

__all__ = ["FeedbackRows", "FeedbackRule", "Form", "rows_of_feedback"]

Form = Literal["sft", "dpo"]
"""Conversations for supervised fine-tuning, or pairs to prefer between."""

_ANSWERED: Final = 200
_ROLES: Final = frozenset({"system", "developer", "user", "assistant"})

REJECTED: Final = "a reviewer rejected it"
PENDING: Final = "not reviewed"
NO_TRACE: Final = "the trace is gone"
NO_TEXT: Final = "the trace keeps no text"
NO_PROMPT: Final = "the trace does not keep the prompt"
NOT_TEXT: Final = "the prompt is not text alone, ending with the user"
FAILED: Final = "the request failed"
NO_VERDICT: Final = "says neither good nor bad"
CONFLICT: Final = "others say the opposite of the same answer"
OTHER_ANSWER: Final = "another good answer of the same question was taken"
NOTHING_BETTER: Final = "no better answer is known"
NOTHING_WORSE: Final = "no worse answer is known"


@dataclass(frozen=True, slots=True)
class FeedbackRule:
    """Which feedback makes rows, and of what form."""

    form: Form = "sft"
    least_score: float | None = None
    """An answer with this score or more, and no thumb, is good; None: scores say nothing."""
    unreviewed: bool = False
    """Take what waits for a review too."""
    with_passages: bool = False
    """Ask as the model was asked, with the passages; else a grounded question stands alone."""


@dataclass(frozen=True, slots=True)
class FeedbackRows:
    """The rows, and what became of each piece of feedback: it is taken, or left out once."""

    rows: tuple[dict[str, Any], ...]
    feedback: int
    taken: int
    left_out: Mapping[str, int]
    """By the reason."""
    duplicates: int
    """Pieces that say the same of the same answer as another one that was taken."""
    conflicts: tuple[tuple[str, ...], ...]
    """Ids of the pieces that disagree, by answer."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """One text that somebody calls good or bad as the answer to a prompt."""

    text: str
    good: bool
    corrected: bool
    """Somebody wrote it in place of the model."""
    said: Mapping[str, Any]
    """The feedback."""


def _rank(verdict: _Verdict) -> tuple[bool, int, str]:
    return verdict.corrected, verdict.said["updated_at"], verdict.said["id"]


@dataclass(slots=True)
class _Answer:
    """All who say the same of one text."""

    verdicts: list[_Verdict] = field(default_factory=list)

    @property
    def first(self) -> _Verdict:
        """The one that counts most: a correction, else what was said last."""
        return max(self.verdicts, key=_rank)

    @property
    def ids(self) -> list[str]:
        return [verdict.said["id"] for verdict in self.verdicts]


@dataclass(slots=True)
class _Question:
    """All that was said of the answers to one prompt."""

    messages: list[dict[str, str]]
    good: dict[str, _Answer] = field(default_factory=dict)
    bad: dict[str, _Answer] = field(default_factory=dict)

    def add(self, verdict: _Verdict) -> None:
        side = self.good if verdict.good else self.bad
        side.setdefault(normalised(verdict.text), _Answer()).verdicts.append(verdict)

    def take_conflicts(self) -> Iterator[list[str]]:
        """Ids of those who disagree, by answer; such answers are taken out."""
        for text in [text for text in self.good if text in self.bad]:
            yield [*self.good.pop(text).ids, *self.bad.pop(text).ids]

    @property
    def best(self) -> _Answer | None:
        return max(self.good.values(), key=lambda answer: _rank(answer.first), default=None)


class _Account:
    """What becomes of each piece of feedback."""

    def __init__(self) -> None:
        self.fates: dict[str, str | None] = {}
        """By id: the reason why it is left out, None where it is taken."""
        self.duplicates = 0

    def leave(self, ids: Iterable[str], reason: str) -> None:
        """Whatever else it says may still be taken."""
        for feedback_id in ids:
            self.fates.setdefault(feedback_id, reason)

    def take(self, answers: Sequence[_Answer]) -> None:
        for answer in answers:
            self.duplicates += sum(self.fates.get(i, "") is not None for i in answer.ids[1:])
            self.fates.update(dict.fromkeys(answer.ids, None))


def rows_of_feedback(feedback: Iterable[Mapping[str, Any]], rule: FeedbackRule) -> FeedbackRows:
    """The rows of feedback as `GET /v1/feedback?include[]=trace` gives it.

    One row for each prompt (`sft`), or for each of its bad answers (`dpo`), in the order in which
    the prompts were first spoken of. Equal input gives equal rows, whatever its order.
    """
    account, questions = _Account(), dict[str, _Question]()
    for said in sorted(feedback, key=lambda one: str(one["id"])):
        verdicts = _verdicts(said, rule)
        if isinstance(verdicts, str):
            account.leave([said["id"]], verdicts)
            continue
        messages = _prompt(said["trace"], rule)
        if isinstance(messages, str):
            account.leave([said["id"]], messages)
            continue
        key = "\n".join(f"{m['role']} {normalised(m['content'])}" for m in messages)
        question = questions.setdefault(key, _Question(messages))
        for verdict in verdicts:
            question.add(verdict)
    make = _chat_rows if rule.form == "sft" else _preference_rows
    conflicts: list[tuple[str, ...]] = []
    rows: list[dict[str, Any]] = []
    for question in questions.values():
        disagreeing = list(question.take_conflicts())
        rows += make(question, account)
        for ids in disagreeing:
            account.leave(ids, CONFLICT)
            conflicts.append(tuple(sorted(ids)))
    reasons = Counter(fate for fate in account.fates.values() if fate is not None)
    return FeedbackRows(
        rows=tuple(rows),
        feedback=len(account.fates),
        taken=len(account.fates) - reasons.total(),
        left_out=dict(sorted(reasons.items())),
        duplicates=account.duplicates,
        conflicts=tuple(conflicts),
    )


def _verdicts(said: Mapping[str, Any], rule: FeedbackRule) -> list[_Verdict] | str:
    """What it calls good and bad, or why it is left out."""
    if said["review"] == "rejected":
        return REJECTED
    if said["review"] != "accepted" and not rule.unreviewed:
        return PENDING
    trace = said.get("trace")
    if trace is None:
        return NO_TRACE
    if not (trace["question"] or "").strip():
        return NO_TEXT
    answer, correction = (trace["answer"] or "").strip(), (said["correction"] or "").strip()
    found: list[_Verdict] = []
    if correction:
        found.append(_Verdict(correction, True, True, said))
    if trace["status"] != _ANSWERED or not answer:
        return found or (NO_TEXT if trace["status"] == _ANSWERED else FAILED)
    good = _says(said, rule)
    if good is None and correction and normalised(correction) != normalised(answer):
        good = False
    if good is not None:
        found.append(_Verdict(answer, good, False, said))
    return found or NO_VERDICT


def _says(said: Mapping[str, Any], rule: FeedbackRule) -> bool | None:
    """Whether it calls the answer itself good or bad."""
    if said["thumbs"] is not None:
        return bool(said["thumbs"] == "up")
    score, least = said["score"], rule.least_score
    high = not said["correction"] and least is not None and score is not None and score >= least
    return True if high else None


def _prompt(trace: Mapping[str, Any], rule: FeedbackRule) -> list[dict[str, str]] | str:
    """What the row asks, or why it cannot."""
    if trace["grounded"] and not rule.with_passages:
        return [{"role": "user", "content": trace["question"]}]
    if not trace["messages"]:
        return NO_PROMPT
    messages = []
    for message in trace["messages"]:
        text = _text(message.get("content"))
        if text is None or message.get("role") not in _ROLES or message.get("tool_calls"):
            return NOT_TEXT
        messages.append({"role": message["role"], "content": text})
    return messages if messages[-1]["role"] == "user" else NOT_TEXT


def _text(content: Any) -> str | None:
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        whole = len(texts) == len(content) and all(isinstance(text, str) for text in texts)
        content = "\n".join(map(str, texts)) if whole else None
    return content if isinstance(content, str) and content.strip() else None


def _chat_rows(question: _Question, account: _Account) -> Iterator[dict[str, Any]]:
    best = question.best
    for answer in question.good.values():
        if answer is not best:
            account.leave(answer.ids, OTHER_ANSWER)
    if best is not None:
        account.take([best])
        # Earlier answers are context here, whoever said what of them.
        context = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in question.messages]
        yield {
            "messages": [*context, _said(best)],
            "metadata": _metadata([best], best),
        }
    for answer in question.bad.values():
        account.leave(answer.ids, OTHER_ANSWER if best is not None else NOTHING_BETTER)


def _preference_rows(question: _Question, account: _Account) -> Iterator[dict[str, Any]]:
    best = question.best
    if best is None:
        for answer in question.bad.values():
            account.leave(answer.ids, NOTHING_BETTER)
        return
    for answer in question.good.values():
        if not question.bad:
            account.leave(answer.ids, NOTHING_WORSE)
        elif answer is not best:
            account.leave(answer.ids, OTHER_ANSWER)
    for number, worse in enumerate(question.bad.values()):
        account.take([worse] if number else [best, worse])
        yield {
            "input": {"messages": question.messages},
            "preferred_output": [_said(best)],
            "non_preferred_output": [_said(worse)],
            "metadata": _metadata([best, worse], worse),
        }


def _said(answer: _Answer) -> dict[str, str]:
    return {"role": "assistant", "content": answer.first.text}


def _metadata(answers: Sequence[_Answer], given: _Answer) -> dict[str, str]:
    """Where the row came from: ids, joined by commas where there are several.

    `given`: the answer whose model and prompt are told.
    """
    said = [verdict.said for answer in answers for verdict in answer.verdicts]
    trace = given.first.said["trace"]
    found = {
        "trace": ",".join(dict.fromkeys(one["trace_id"] for one in said)),
        "feedback": ",".join(dict.fromkeys(one["id"] for one in said)),
        "model": trace["model"],
        "prompt_version": trace["prompt_version"],
        "kind": "correction" if answers[0].first.corrected else "answer",
    }
    return {name: value for name, value in found.items() if value is not None}
