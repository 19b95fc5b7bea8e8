"""Metrics of grounding: exact values on hand-made cases, and what must hold whatever the answer."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.errors import Unavailable
from deployments.evaluation.cases import Case, Passage, Sample, Score
from deployments.evaluation.metrics.claims import MOST_CLAIMS, claims_of
from deployments.evaluation.metrics.grounding import GROUNDING_METRICS
from deployments.evaluation.metrics.metric import MetricInput
from deployments.evaluation.metrics.refusals import is_answerable
from deployments.evaluation.metrics.rows import ROWS, read_row
from deployments.evaluation.toolbox import Toolbox
from deployments.evaluator.vectors import BulkVectors
from deployments.ports import TextEmbedder
from tests.fakes.embedder import BrokenEmbedder, MiniLmEmbedder
from tests.fakes.parts import FakeEmbedder

METRICS = {metric.name: metric for metric in GROUNDING_METRICS}
COMET = Passage(
    "The Zorvex comet was discovered by Ilse Braun in 1987. It has a period of 43 years.",
    "comets.pdf",
)
WARRANTY = Passage(
    "The warranty of the Model X200 lasts 24 months from the day of purchase. Batteries are "
    "covered for 6 months. It does not cover water damage.",
    "warranty.pdf",
)
PRICES = Passage("The Model X200 costs 450 dollars and weighs 1,200 g.", "prices.pdf")
PASSAGES = (COMET, WARRANTY, PRICES)


class NoModels:
    """A Toolbox's parts that these metrics must not ask."""

    async def chat(self, body: Any) -> Any:
        raise AssertionError(f"a metric of grounding asked a model: {body}")

    async def get(self, key: str) -> Any:
        raise AssertionError(f"a metric of grounding asked the cache: {key}")

    async def put(self, key: str, value: Any) -> None:
        raise AssertionError(f"a metric of grounding wrote to the cache: {key} {value}")


def tools(embedder: TextEmbedder | None = None) -> Toolbox:
    models = NoModels()
    return Toolbox(BulkVectors(embedder or FakeEmbedder()), models, models)


def given_(
    answer: str,
    passages: Sequence[Passage] = PASSAGES,
    reference: Any = None,
    *,
    refused: bool = False,
    **item: Any,
) -> MetricInput:
    sample = Sample(answer, passages=passages, refused=refused)
    return MetricInput(answer, reference, Case(1, item, sample))


async def one(
    name: str, case: MetricInput, embedder: TextEmbedder | None = None, **options: Any
) -> Score:
    (score,) = await METRICS[name].score([case], options, tools(embedder))
    return score


def cited(*flags: bool) -> tuple[Passage, ...]:
    return tuple(Passage(p.text, p.document, flag) for p, flag in zip(PASSAGES, flags, strict=True))


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        (
            "The X200 lasts 24 months, and it costs 300 dollars.",
            ["The X200 lasts 24 months", "The X200 costs 300 dollars."],
        ),
        (
            "Marie Curie was born in Warsaw and won the Nobel Prize in 1903.",
            ["Marie Curie was born in Warsaw", "Marie Curie won the Nobel Prize in 1903."],
        ),
        (
            "Returns are accepted within 30 days; the buyer pays for shipping.",
            ["Returns are accepted within 30 days", "the buyer pays for shipping."],
        ),
        (
            "Die Garantie gilt 24 Monate und sie umfasst Feuer nicht.",
            ["Die Garantie gilt 24 Monate", "Die Garantie umfasst Feuer nicht."],
        ),
        # What is left whole: lists, phrases, conditions.
        *(
            (text, [text])
            for text in (
                "The box contains the cable, the charger, and the user manual.",
                "The distance between Paris and the town of Lyon is 5 km.",
                "If the engine hangs, the replica stops and it restarts.",
                "It uses cached and compressed files.",
            )
        ),
        ("It weighs 5 g [2]. It is red.", ["It weighs 5 g.", "It is red."]),
        ("", []),
        ("…", []),
    ],
)
def test_an_answer_is_cut_into_claims_that_stand_for_themselves(
    answer: str, claims: list[str]
) -> None:
    assert [claim.text for claim in claims_of(answer)] == claims


def test_markers_belong_to_the_sentence_they_close() -> None:
    found = claims_of("It is red [1]. It is old [2, 4-6]. It is big. [3] It is a link [7](x).")
    assert [set(claim.cites) for claim in found] == [{1}, {2, 4, 5, 6}, {3}, set()]


@given(st.text(max_size=400))
@settings(max_examples=60)
def test_claims_lie_in_the_answer_in_order(answer: str) -> None:
    found = claims_of(answer)
    assert all(0 <= c.start < c.end <= len(answer) and c.text.strip() for c in found)
    assert [c.start for c in found] == sorted(c.start for c in found)


async def test_faithfulness_says_of_each_claim_what_supports_it() -> None:
    score = await one(
        "faithfulness",
        given_(
            "The Zorvex comet was discovered by Ilse Braun in 1987, and it has a period of 34 "
            "years. The warranty does not cover water damage. Here it is: Would you like more?"
        ),
    )
    assert score.value == pytest.approx(2 / 3)
    assert [claim["verdict"] for claim in score.detail["claims"]] == [
        "supported",
        "unsupported",
        "supported",
        "not_checkable",
    ]
    (place,) = score.detail["claims"][0]["passages"]
    assert (place["number"], place["document"], place["method"]) == (1, "comets.pdf", "verbatim")
    assert place["quote"] == "The Zorvex comet was discovered by Ilse Braun in 1987"
    assert "34" in score.detail["claims"][1]["reason"]
    otherwise = score.detail["claims"][1]["contradicted_by"]
    assert otherwise["quote"] == "It has a period of 43 years."
    assert "contradicted_by" not in score.detail["claims"][0]


@pytest.mark.parametrize(
    ("answer", "passages", "value", "reason"),
    [
        ("I don't know.", PASSAGES, None, "refusal"),
        ("Here it is:", PASSAGES, None, "no claim"),
        ("", PASSAGES, None, "no claim"),
        ("The X200 costs 450 dollars.", (), 0.0, "no passages"),
        ("The X200 costs 450 dollars. The documents do not mention theft.", PASSAGES, 1.0, None),
    ],
)
async def test_faithfulness_where_there_is_little_to_check(
    answer: str, passages: Sequence[Passage], value: float | None, reason: str | None
) -> None:
    score = await one("faithfulness", given_(answer, passages))
    assert score.value == value
    assert reason is None or reason in score.detail["reason"]


async def test_the_platforms_refusal_is_not_scored_for_faithfulness() -> None:
    score = await one("faithfulness", given_("Nothing was found.", refused=True))
    assert score.value is None


SUPPORTED = [
    "The Zorvex comet has a period of 43 years.",
    "The Model X200 costs 450 dollars.",
    "The warranty lasts 24 months.",
    "Batteries are covered for 6 months.",
]
UNSUPPORTED = [
    "The Zorvex comet has a period of 34 years.",
    "The warranty covers water damage.",
    "The Model X300 costs 450 dollars.",
    "Bananas are grown in Ecuador.",
]


@given(
    st.lists(st.sampled_from(SUPPORTED + UNSUPPORTED), max_size=5),
    st.sampled_from(UNSUPPORTED),
    st.sampled_from(SUPPORTED),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_wrong_sentence_never_raises_faithfulness_and_a_right_one_never_lowers_it(
    sentences: list[str], wrong: str, right: str
) -> None:
    async def value(*more: str) -> float | None:
        return (await one("faithfulness", given_(" ".join((*sentences, *more))))).value

    before, with_wrong, with_right = await value(), await value(wrong), await value(right)
    assert with_wrong is not None
    assert with_right is not None
    assert with_wrong <= (1.0 if before is None else before)
    assert with_right >= (0.0 if before is None else before)
    known = sum(sentence in SUPPORTED for sentence in sentences)
    assert before == (known / len(sentences) if sentences else None)


async def test_more_passages_never_lower_faithfulness_or_context_recall() -> None:
    answer = " ".join(SUPPORTED + UNSUPPORTED)
    for name in ("faithfulness", "context_recall"):
        values = [
            (await one(name, given_(answer, PASSAGES[:count], reference=answer))).value
            for count in range(4)
        ]
        assert values == [0.0, 0.125, 0.375, 0.5], name


async def test_words_of_the_same_meaning_need_the_embedder(minilm: MiniLmEmbedder) -> None:
    passages = [Passage("Deleted files are purged within 7 days.")]
    case = given_("The removed files are purged within 7 days.", passages)
    score = await one("faithfulness", case, minilm)
    assert score.value == 1.0
    assert score.detail["claims"][0]["passages"][0]["method"] == "similarity"


async def test_an_embedder_that_is_down_is_an_error_and_no_lower_score() -> None:
    passages = [Passage("Deleted files are purged within 7 days.")]
    case = given_("The removed files are purged within 7 days.", passages)
    with pytest.raises(Unavailable):
        await one("faithfulness", case, BrokenEmbedder())


@pytest.mark.parametrize(
    ("answer", "flags", "precision", "recall"),
    [
        # By flags: what the platform cites.
        ("The X200 costs 450 dollars.", (False, False, True), 1.0, 1.0),
        ("The X200 costs 450 dollars.", (True, False, True), 0.5, 1.0),
        ("The X200 costs 450 dollars.", (True, False, False), 0.0, 0.0),
        ("The X200 costs 450 dollars.", (False, False, False), None, 0.0),
        # By markers: what the model wrote; flags are then not looked at.
        ("The X200 costs 450 dollars [3].", (True, False, False), 1.0, 1.0),
        ("The X200 costs 450 dollars [3]. It has a period of 43 years [3].", (), 1.0, 0.5),
        ("The X200 costs 450 dollars [1]. It has a period of 43 years [3].", (), 0.0, 0.0),
        ("The X200 costs 450 dollars [3][9].", (), 0.5, 1.0),
        ("The X200 costs 450 dollars. [3] Bananas grow in Ecuador.", (), 1.0, 0.5),
        ("Here it is: [1]", (), 0.0, None),
    ],
)
async def test_citations(
    answer: str, flags: tuple[bool, ...], precision: float | None, recall: float | None
) -> None:
    passages = cited(*flags) if flags else PASSAGES
    assert (await one("citation_precision", given_(answer, passages))).value == precision
    assert (await one("citation_recall", given_(answer, passages))).value == recall


async def test_a_cited_passage_counts_though_another_supports_the_claim_better() -> None:
    verbatim = Passage("The Model X200 costs 450 dollars.")
    other = Passage("At 450 dollars, the Model X200 costs less.", cited=True)
    case = given_("The Model X200 costs 450 dollars.", [verbatim, other])
    assert (await one("citation_precision", case)).value == 1.0
    assert (await one("citation_recall", case)).value == 1.0


async def test_relevance_is_the_cosine_of_question_and_text(minilm: MiniLmEmbedder) -> None:
    question = "What does the Model X200 cost?"
    answer = "The Model X200 costs 450 dollars."
    vectors = (await minilm.embed([question, answer, COMET.text, PRICES.text])).vectors

    def cosine(index: int) -> float:
        return max(0.0, sum(a * b for a, b in zip(vectors[0], vectors[index], strict=True)))

    case = given_(answer, [COMET, PRICES], question=question)
    assert (await one("answer_relevance", case, minilm)).value == pytest.approx(cosine(1), abs=1e-6)
    context = await one("context_relevance", case, minilm)
    assert context.value == pytest.approx((cosine(2) + cosine(3)) / 2, abs=1e-6)
    assert (await one("retrieval_precision", case, minilm)).value == 0.5
    assert (await one("retrieval_precision", case, minilm, relevant_from=-1.0)).value == 1.0


@pytest.mark.parametrize(
    ("answer", "value"), [("", 0.0), ("  ", 0.0), ("I don't know.", None), ("Why?", 1.0)]
)
async def test_an_empty_answer_is_not_relevant_and_a_refusal_not_scored(
    answer: str, value: float | None
) -> None:
    assert (await one("answer_relevance", given_(answer, question="Why?"))).value == value


@pytest.mark.parametrize("name", ["answer_relevance", "context_relevance", "retrieval_precision"])
async def test_relevance_without_a_question_says_what_is_missing(name: str) -> None:
    score = await one(name, given_("The X200 costs 450 dollars."))
    assert score.value is None
    assert "question" in score.detail["reason"]


@pytest.mark.parametrize(
    "item",
    [
        {"query": "hello"},
        {"asked": "hello", "question": "no"},
        {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
    ],
)
async def test_the_question_is_found_under_its_usual_names(item: dict[str, Any]) -> None:
    options: dict[str, Any] = {"question": "asked"} if "asked" in item else {}
    score = await one("answer_relevance", given_("hello", **item), **options)
    assert score.value == pytest.approx(1.0)


async def test_passages_may_come_with_the_item() -> None:
    answer = "The Model X200 costs 450 dollars."
    items: list[dict[str, Any]] = [{"contexts": [PRICES.text]}, {"context": PRICES.text}]
    for item in items:
        assert (await one("faithfulness", given_(answer, (), **item))).value == 1.0
    found: dict[str, Any] = {"found": [{"text": PRICES.text, "document": "p", "cited": True}]}
    case = given_(answer, (COMET,), **found)
    assert (await one("citation_precision", case, passages="found")).value == 1.0


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("The Model X200 costs 450 dollars. It has a period of 34 years.", 0.5),
        (["Paris", "450 dollars"], 1.0),
        ("450 dollars", 1.0),
        ("460 dollars", 0.0),
        ("Yes.", None),
        (None, None),
    ],
)
async def test_context_recall(reference: Any, value: float | None) -> None:
    assert (await one("context_recall", given_("", reference=reference))).value == value


@pytest.mark.parametrize(
    ("reference", "answerable"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        (None, False),
        ("", False),
        ([], False),
        ("24 months", True),
        ("I don't know.", False),
        ("Je ne sais pas.", False),
        (["I don't know.", "24 months"], True),
    ],
)
async def test_saying_i_dont_know_is_right_exactly_where_there_is_no_answer(
    reference: Any, answerable: bool
) -> None:
    assert is_answerable(reference) is answerable
    for answer, refuses in (("24 months.", False), ("I don't know.", True)):
        score = await one("idk_correctness", given_(answer, reference=reference))
        assert score.value == float(answerable != refuses)
    by_platform = await one("idk_correctness", given_("—", reference=reference, refused=True))
    assert by_platform.value == float(not answerable)
    assert by_platform.detail["refusal"]["by"] == "platform"


async def test_idk_figures_tell_false_refusals_from_false_answers() -> None:
    metric = METRICS["idk_correctness"]
    cases = [
        given_("24 months.", reference=True),
        given_("I don't know.", reference=True),
        given_("24 months.", reference=False),
    ]
    assert metric.summarise is not None
    figures = metric.summarise(await metric.score(cases, {}, tools()))
    assert figures == {"refused_of_answerable": 0.5, "answered_of_unanswerable": 1.0}
    assert metric.summarise([]) == {}


async def test_scores_come_in_order_and_again_the_same() -> None:
    cases = [given_(text, reference=text, question=text) for text in SUPPORTED + UNSUPPORTED]
    for metric in GROUNDING_METRICS:
        first = await metric.score(cases, {}, tools())
        assert len(first) == len(cases)
        assert first == await metric.score(cases, {}, tools())
        singles = [(await metric.score([case], {}, tools()))[0] for case in cases]
        assert singles == first, metric.name


HOSTILE = {
    "one endless word": "a" * 300_000,
    "no sentence ends": "costs and " * 40_000,
    "many sentences": "The X200 costs 450 dollars. " * 10_000,
    "brackets": "[1" * 100_000,
    "separators": "; and, but " * 30_000,
    "combining marks": "a" + "\u0301" * 200_000,
    "right to left and invisible": "\u202e\u200b\u2066 " * 60_000,
    "surrogates": "\ud800\udfff x. " * 20_000,
    "numbers": "1,2.3:" * 50_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_answers_cost_seconds_at_most(text: str) -> None:
    assert len(claims_of(text)) <= MOST_CLAIMS
    passages = (*PASSAGES, Passage(text))
    case = given_(text, passages, reference=text, question="Why?")
    start = time.process_time()
    for name in ("citation_recall", "idk_correctness"):
        await one(name, case)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("name", ROWS)
async def test_a_row_is_read_for_the_metric(name: str) -> None:
    columns, read = ROWS[name]
    values: dict[str, Any] = {
        "predictions": "The Model X200 costs 450 dollars.",
        "questions": "What does it cost?",
        "passages": [PRICES.text, COMET.text],
        "cited": [True, False],
        "references": "450 dollars",
    }
    for shape in columns:
        case = read(1, {column: values[column] for column in shape})
        assert read is read_row
        if name in METRICS:
            assert (await one(name, case)).value is not None
