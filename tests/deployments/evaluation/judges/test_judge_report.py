"""What a report says of a judge, and whether such a judge may decide."""

from collections.abc import Sequence
from typing import Any

import pytest

from cluster.settings import JudgeBar
from deployments.evaluation.cases import Score
from deployments.evaluation.judges.pairwise import AS_GIVEN, SWAPPED
from deployments.evaluation.judges.report import judge_report
from deployments.evaluation.judges.standing import judge_may_decide
from deployments.evaluation.judges.verdict import Judgement, Verdict

UNCHECKED = JudgeBar(require_human_labels=False)


def _verdict(label: str | None, question: str = "label", **more: Any) -> Verdict:
    fields = {"prompt": "p@1", "model": "judge-1", "calls": 1, **more}
    return Verdict(question=question, label=label, **fields)


def _labelled(outcome: str, human: str | None = None, **more: Any) -> Score:
    judgement = Judgement(
        kind="label",
        categories=("bad", "good"),
        ordinal=False,
        outcome=outcome,
        human=human,
        verdicts=(_verdict(outcome, **more),),
    )
    return Score(1.0, detail=judgement.detail())


def _pair(given: str | None, swapped: str | None, human: str | None = None) -> Score:
    mirrored = {"A": "B", "B": "A", "tie": "tie"}
    outcome = None
    if given and swapped:
        outcome = given if given == mirrored[swapped] else "tie"
    judgement = Judgement(
        kind="pairwise",
        categories=("A", "B", "tie"),
        ordinal=False,
        outcome=outcome,
        human=human,
        verdicts=(_verdict(given, AS_GIVEN), _verdict(swapped, SWAPPED)),
    )
    return Score(0.5, detail=judgement.detail())


def _mixed(scores: Sequence[Score], times: int) -> list[Score]:
    return list(scores) * times


def test_calls_and_failures_are_counted_from_the_details() -> None:
    scores = [
        _labelled("good"),
        _labelled("bad", calls=0, cached=True),
        _labelled("bad", calls=3, failures=2),
        Score(None, detail={"reason": "another grader's"}),
    ]
    report = judge_report(scores)
    assert (report.items, report.verdicts, report.calls, report.cached) == (3, 3, 4, 1)
    assert (report.parse_failures, report.unanswered) == (2, 0)
    assert report.distribution == {"bad": 2, "good": 1}
    assert report.models == ("judge-1",)
    assert report.flips is None
    assert report.position is None
    assert report.agreement is None


def test_a_run_of_nothing_has_an_empty_report_and_no_say() -> None:
    report = judge_report([])
    assert (report.kind, report.items) == (None, 0)
    assert not judge_may_decide(report, UNCHECKED).allowed


def test_scores_of_two_graders_are_refused() -> None:
    with pytest.raises(ValueError, match="not of one grader"):
        judge_report([_labelled("good"), _pair("A", "B")])


def test_flips_are_pairs_whose_orders_disagree() -> None:
    scores = [_pair("A", "B"), _pair("A", "A"), _pair("tie", "tie"), _pair("A", "tie")]
    report = judge_report([*scores, _pair("A", None)])
    assert report.flips is not None
    assert (report.flips.count, report.flips.of, report.flips.share) == (2, 4, 0.5)
    assert report.unanswered == 1


def test_position_is_tested_over_the_pairs_that_lean() -> None:
    # 8 of 8 pairs that lean do so to the first position: p = 2 / 2^8; the rest lean nowhere.
    scores = [*[_pair("A", "A")] * 8, *[_pair("A", "B")] * 6, *[_pair("B", "A")] * 6]
    position = judge_report(scores).position
    assert position is not None
    assert (position.first, position.second) == (8 * 2 + 12, 12)
    assert position.share == pytest.approx(28 / 40)
    assert position.p_value == pytest.approx(2 / 2**8)


def test_spread_is_the_mean_over_the_weighted_verdicts() -> None:
    scores = [_labelled("good", spread=0.2), _labelled("bad", spread=0.4), _labelled("bad")]
    report = judge_report(scores)
    assert report.weighted == 2
    assert report.spread == pytest.approx(0.3)


def test_a_good_judge_may_decide() -> None:
    scores = _mixed([_pair("A", "B", "A"), _pair("B", "A", "B"), _pair("tie", "tie", "tie")], 20)
    report = judge_report(scores)
    assert report.agreement is not None
    assert report.agreement.kappa == pytest.approx(1.0)
    standing = judge_may_decide(report, JudgeBar())
    assert (standing.allowed, standing.reasons) == (True, ())


def test_a_judge_that_always_prefers_the_first_answer_is_barred_by_its_own_report() -> None:
    report = judge_report(_mixed([_pair("A", "A")], 40))
    standing = judge_may_decide(report, UNCHECKED)
    assert not standing.allowed
    assert "in 100.0% of 40 pairs" in " ".join(standing.reasons)
    assert "prefers whichever answer stands first: 100.0%" in " ".join(standing.reasons)


def test_a_judge_that_prefers_the_second_answer_half_of_the_time_is_barred_by_position() -> None:
    scores = _mixed([_pair("B", "B"), _pair("A", "B"), _pair("B", "A")], 20)
    standing = judge_may_decide(
        judge_report(scores), JudgeBar(require_human_labels=False, max_flip_rate=1.0)
    )
    assert [reason.split(":")[0] for reason in standing.reasons] == [
        "It prefers whichever answer stands second"
    ]


def test_a_preference_that_chance_explains_does_not_bar() -> None:
    scores = [_pair("A", "A"), *_mixed([_pair("A", "B"), _pair("B", "A")], 20)]
    assert judge_may_decide(judge_report(scores), UNCHECKED).allowed


@pytest.mark.parametrize(
    ("scores", "bar", "reason"),
    [
        (_mixed([_labelled("good"), _labelled("bad")], 5), UNCHECKED, "judged 10 items"),
        (
            [*_mixed([_labelled("good"), _labelled("bad")], 20), _labelled("bad", failures=1)],
            UNCHECKED,
            "1 answers were no verdict",
        ),
        (
            [*_mixed([_pair("A", "B"), _pair("B", "A")], 15), *[_pair(None, None)] * 2],
            UNCHECKED,
            "4 of 64 verdicts are missing",
        ),
        (_mixed([_labelled("good")], 40), UNCHECKED, "said 'good' every time"),
        (_mixed([_labelled("good"), _labelled("bad")], 20), JudgeBar(), "No item carries"),
        (
            [
                *_mixed([_labelled("good"), _labelled("bad")], 20),
                *_mixed([_labelled("good", "good")], 5),
            ],
            JudgeBar(),
            "5 items carry a person's label; 30 are needed",
        ),
        (
            _mixed([_labelled("good", "good"), _labelled("bad", "good")], 20),
            JudgeBar(),
            "kappa = 0.00 on 40 items; 0.60 is needed",
        ),
    ],
    ids=["few", "parse", "missing", "constant", "unlabelled", "few-labels", "kappa"],
)
def test_each_way_below_the_bar_is_named(scores: list[Score], bar: JudgeBar, reason: str) -> None:
    standing = judge_may_decide(judge_report(scores), bar)
    assert not standing.allowed
    assert [found for found in standing.reasons if reason in found]


def test_the_same_label_with_other_probabilities_each_time_is_no_constant() -> None:
    scores = _mixed([_labelled("good", spread=0.1), _labelled("good", spread=0.2)], 20)
    assert judge_may_decide(judge_report(scores), UNCHECKED).allowed


def test_disagreement_with_people_bars_even_where_labels_are_not_required() -> None:
    scores = _mixed([_labelled("good", "bad"), _labelled("bad", "good")], 20)
    assert not judge_may_decide(judge_report(scores), UNCHECKED).allowed
