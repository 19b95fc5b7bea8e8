"""The whole gate over real tiny weights; only the answers are told to the service."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ApiError, UnreachableError
from tests.training.gate.conftest import Weights
from tests.training.gate.serving import Answers, TinyService, labels
from training.examples import ChatExample, TextExample
from training.gate import Contender, GateReport, GateSettings, run_gate
from training.gate.generation import answer_limit
from training.gate.items import Expected
from training.gate.served import Graded

CANDIDATE, CHAMPION = Contender(model="new", title="banking v2"), Contender(model="old")
DATA = labels(60, 3)
TRUE = {str(e.messages[0]["content"]): str(e.messages[1]["content"]) for e in DATA}
QUICK = {"resamples": 200, "parity_items": 1, "slice_by": "none"}


def _right(share: float, seed: int = 0) -> Answers:
    """Right on that share of the questions for the candidate; on half of them for the champion."""

    def answer(model: str, question: str) -> str:
        chance = random.Random(f"{seed} {question}").random()
        right = chance < (share if model == "new" else 0.5)
        return f"  {TRUE[question].upper()} " if right else "I do not know"

    return answer


def _gate(weights: Weights, service: TinyService, **settings: object) -> GateReport:
    chosen = GateSettings.model_validate({**QUICK, **settings})
    return run_gate(
        CANDIDATE, CHAMPION, DATA, chosen, service, weights.base, weights.adapter, lambda _s: None
    )


def _service(weights: Weights, answers: Answers, **options: object) -> TinyService:
    models = {"new": weights.adapter, "old": None}
    return TinyService(weights.base, models, answers, **options)  # type: ignore[arg-type]


def test_a_clear_win_is_promoted(weights: Weights) -> None:
    said: list[str] = []
    service = _service(weights, _right(1.0))
    report = run_gate(
        CANDIDATE,
        CHAMPION,
        DATA,
        GateSettings.model_validate(QUICK),
        service,
        weights.base,
        weights.adapter,
        said.append,
    )
    assert report.verdict.outcome == "promote"
    found = report.evidence.comparison
    assert found is not None
    assert (found.metric, found.candidate, found.items) == ("exact_match", 1.0, 60)
    assert 0.3 < found.champion < 0.7
    assert report.evidence.size.adapter_bytes > 10_000
    assert said[0] == "parity of banking v2"
    assert said[-1].startswith("promote: Trained and served weights agree")


def test_equal_sides_are_inconclusive(weights: Weights) -> None:
    report = _gate(weights, _service(weights, _right(0.5)))
    assert report.verdict.outcome == "inconclusive"
    assert "No difference is shown" in report.verdict.reasons[0]


def test_a_worse_candidate_is_refused(weights: Weights) -> None:
    report = _gate(weights, _service(weights, _right(0.0)))
    assert report.verdict.outcome == "refuse"
    assert "worse than the champion" in report.verdict.reasons[0]


def test_a_winner_whose_weights_are_not_those_trained_is_refused(weights: Weights) -> None:
    service = TinyService(weights.base, {"new": weights.other, "old": None}, _right(1.0))
    report = _gate(weights, service)
    assert report.verdict.outcome == "refuse"
    assert [c.name for c in report.verdict.checks if c.result == "fail"] == ["parity"]


def test_a_winner_that_loses_one_label_is_refused(weights: Weights) -> None:
    def answer(model: str, question: str) -> str:
        lost = TRUE[question] == "label 2"
        return TRUE[question] if (model == "new") != lost else "?"

    report = _gate(weights, _service(weights, answer), slice_by="auto")
    assert report.evidence.comparison is not None
    assert report.evidence.comparison.difference > 0
    assert report.verdict.outcome == "refuse"
    assert "«label 2» (0.000 against 1.000, 20 items" in report.verdict.reasons[-1]


def test_a_slow_winner_is_refused(weights: Weights) -> None:
    service = _service(weights, _right(1.0), seconds={"new": 0.2, "old": 0.1})
    report = _gate(weights, service)
    assert report.verdict.outcome == "refuse"
    assert "ratio 2.00, bound 1.25" in report.verdict.reasons[0]


def test_the_sides_take_turns_on_every_item(weights: Weights) -> None:
    service = _service(weights, _right(1.0))
    _gate(weights, service, concurrency=1)
    asked = service.asked[2:]  # after the first request to each, which only loads them
    assert len(asked) == 120
    assert [model for model, _ in asked[:8]] == ["new", "old", "old", "new"] * 2
    assert all(one[1] == other[1] for one, other in zip(asked[::2], asked[1::2], strict=True))


def test_log_likelihood_asks_the_served_weights(weights: Weights) -> None:
    report = _gate(weights, _service(weights, _right(0.5)), metric="log_likelihood", max_items=12)
    found = report.evidence.comparison
    assert found is not None
    assert (found.test, found.items) == ("Wilcoxon signed-rank", 12)
    assert found.candidate != found.champion
    assert found.candidate < 0


def test_texts_are_continued_without_a_chat_template(weights: Weights) -> None:
    data = [TextExample(f"{n} + 1 = ", f"{n + 1}") for n in range(8)]
    service = _service(weights, lambda _model, asked: str(int(asked.split()[0]) + 1))
    report = run_gate(
        CANDIDATE,
        CHAMPION,
        data,
        GateSettings.model_validate(QUICK),
        service,
        weights.base,
        weights.adapter,
        lambda _s: None,
    )
    found = report.evidence.comparison
    assert found is not None
    assert (found.candidate, found.champion) == (1.0, 1.0)


def test_items_that_cannot_be_answered_leave_it_open(weights: Weights) -> None:
    def answer(model: str, question: str) -> str:
        if model == "new" and question == "q7":
            raise ApiError("The prompt is too long.", status=400)
        return _right(1.0)(model, question)

    report = _gate(weights, _service(weights, answer))
    assert report.evidence.answers.unanswered == 1
    assert report.evidence.answers.errors == ("The prompt is too long.",)
    assert report.verdict.outcome == "inconclusive"
    assert "59 of 60 items" in report.verdict.reasons[0]


@pytest.mark.parametrize(
    "error", [UnreachableError("No Everloop answers."), ApiError("No such model.", status=404)]
)
def test_a_service_that_is_gone_ends_the_gate(weights: Weights, error: Exception) -> None:
    asked: list[str] = []

    def answer(model: str, question: str) -> str:
        asked.append(question)
        if len(asked) > 10:
            raise error
        return question

    with pytest.raises(type(error)):
        _gate(weights, _service(weights, answer))
    assert len(asked) < 30


def test_what_says_progress_can_end_the_gate(weights: Weights) -> None:
    class Cancelled(Exception):
        pass

    def say(sentence: str) -> None:
        if "of 120 answers" in sentence:
            raise Cancelled

    service = _service(weights, _right(1.0))
    settings = GateSettings.model_validate({**QUICK, "concurrency": 1})
    with pytest.raises(Cancelled):
        run_gate(CANDIDATE, CHAMPION, DATA, settings, service, weights.base, weights.adapter, say)
    assert len(service.asked) < 60


def test_a_parity_that_cannot_be_measured_is_not_promoted(weights: Weights, tmp_path: Path) -> None:
    report = run_gate(
        CANDIDATE,
        CHAMPION,
        DATA,
        GateSettings.model_validate(QUICK),
        _service(weights, _right(1.0)),
        weights.base,
        tmp_path,
        lambda _s: None,
    )
    assert report.verdict.outcome == "inconclusive"
    assert "does not fit its base" in report.verdict.reasons[0]


def test_slices_of_a_file_go_by_its_metadata(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "held_out.jsonl"
    rows = [
        {"messages": list(example.messages), "metadata": {"team": "ab"[number % 2]}}
        for number, example in enumerate(DATA)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    report = run_gate(
        CANDIDATE,
        CHAMPION,
        path,
        GateSettings.model_validate({**QUICK, "slice_by": "metadata.team"}),
        _service(weights, _right(1.0)),
        weights.base,
        weights.adapter,
        lambda _s: None,
    )
    assert {s.name: s.items for s in report.evidence.slices.slices} == {"a": 30, "b": 30}


def test_answers_may_be_twice_as_long_as_the_longest_reference() -> None:
    expected = [Expected((1,), (1,) * 5), Expected((1,), (1,) * 9)]
    assert answer_limit(expected, GateSettings()) == 34
    assert answer_limit(expected, GateSettings(max_answer_tokens=7)) == 7
    assert answer_limit([Expected((1,), (1,) * 900)], GateSettings()) == 512


def test_a_report_is_read_back_as_it_was_written(weights: Weights) -> None:
    report = _gate(weights, _service(weights, _right(0.9)), items_kept=10, slice_by="reference")
    text = report.model_dump_json()
    assert GateReport.model_validate_json(text) == report
    assert json.loads(text)["schema_version"] == 1
    assert len(report.items) == 10
    apart = [abs(i.candidate_score - i.champion_score) for i in report.items]
    assert apart == sorted(apart, reverse=True)
    assert apart[0] == 1.0


def test_long_answers_are_kept_in_part(weights: Weights) -> None:
    report = _gate(weights, _service(weights, lambda _m, _q: "word " * 2000), items_kept=1)
    assert len(report.items[0].candidate) == 2001


def test_the_page_shows_everything_and_fetches_nothing(weights: Weights) -> None:
    report = _gate(
        weights,
        _service(weights, lambda _m, _q: "<script>alert(1)</script> $\\frac{$"),
        slice_by="reference",
    )
    page = report.page()
    assert page == report.page()
    assert page.count("<svg") == page.count("</svg>") == 3
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "banking v2 against old" in page
    assert "Inconclusive: not promoted" in page
    for check in report.verdict.checks:
        assert check.name in page
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert all(link.startswith("#") for link in links)
    assert " src=" not in page
    assert "url(http" not in page


def test_hostile_names_are_drawn_as_they_are(weights: Weights) -> None:
    name = "$a_{<b>&$"
    data = [
        ChatExample(
            ({"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": name}),
            (0.0, 1.0),
        )
        for n in range(25)
    ]
    report = run_gate(
        CANDIDATE,
        Contender(model="old", title="<i>"),
        data,
        GateSettings.model_validate({**QUICK, "slice_by": "reference"}),
        _service(weights, lambda _m, _q: name),
        weights.base,
        weights.adapter,
        lambda _s: None,
    )
    page = report.page()
    assert "<b>" not in page
    assert "<i>" not in page
    assert "$a_{&lt;b&gt;&amp;$ (25)" in page


GRADER = {"type": "score_model", "name": "kindness"}


def _says(
    judge: dict[str, object] | None = None, *, higher: bool = True, missing: str = ""
) -> Callable[[Sequence[Mapping[str, Any]]], Graded]:
    """The Evaluator: right answers score 0.9, others 0.2; none for the question `missing`."""

    def grade(rows: Sequence[Mapping[str, Any]]) -> Graded:
        scores: list[float | None] = []
        for row in rows:
            asked, text = row["item"]["question"], row["sample"]["output_text"]
            right = row["item"]["reference"].upper() == text.strip()
            scores.append(None if asked == missing else 0.9 if right == higher else 0.2)
        return Graded(scores, binary=False, higher_is_better=higher, judge=judge)

    return grade


@pytest.mark.parametrize("higher", [True, False])
def test_the_evaluators_scores_decide_where_a_grader_is_set(weights: Weights, higher: bool) -> None:
    service = _service(weights, _right(1.0), graded=_says(higher=higher))
    report = _gate(weights, service, grader=GRADER)
    found = report.evidence.comparison
    assert found is not None
    assert (found.metric, found.test, found.items) == ("kindness", "Wilcoxon signed-rank", 60)
    assert found.candidate == pytest.approx(0.9 if higher else -0.2)
    assert found.direction == "better"
    assert report.verdict.outcome == "promote"
    assert report.evidence.judge is None
    assert GateReport.model_validate_json(report.model_dump_json()) == report


def test_what_the_evaluator_cannot_score_counts_as_not_answered(weights: Weights) -> None:
    service = _service(weights, _right(1.0), graded=_says(missing="q3"))
    report = _gate(weights, service, grader=GRADER)
    assert report.evidence.answers.unanswered == 1
    assert report.verdict.outcome == "inconclusive"  # one of sixty is more than one in a hundred


@pytest.mark.parametrize("allowed", [True, False])
def test_a_judge_below_its_bar_does_not_decide(weights: Weights, allowed: bool) -> None:
    reasons = [] if allowed else ["It prefers the first answer."]
    judge = {"flip_rate": 0.5, "standing": {"allowed": allowed, "reasons": reasons}}
    service = _service(weights, _right(1.0), graded=_says(judge))
    report = _gate(weights, service, grader=GRADER)
    assert report.verdict.outcome == ("promote" if allowed else "inconclusive")
    assert report.evidence.judge is not None
    assert report.evidence.judge.figures == {"flip_rate": 0.5}
    if not allowed:
        assert report.verdict.reasons == ("The judge may not decide: It prefers the first answer.",)
