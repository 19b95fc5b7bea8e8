"""The table of what promotes, what refuses and what stays open."""

import re
from typing import Any

import pytest

from training.gate.evidence import (
    Answers,
    Comparison,
    Evidence,
    Interval,
    Latency,
    Parity,
    Probe,
    Size,
    Slice,
    Slices,
    Timings,
)
from training.gate.settings import Bounds
from training.gate.verdict import decide

PROBE = Probe(name="fixed 1", tokens=4, merged=1e-4, served=2e-4, adapter_effect=1.5)
PARITY = Parity(
    probes=(PROBE,),
    merged=1e-4,
    served=2e-4,
    adapter_effect=1.5,
    templates_checked=1,
    templates_differ=0,
)
WON = Comparison(
    metric="exact_match",
    unit="share",
    test="McNemar, exact",
    items=200,
    candidate=0.83,
    champion=0.70,
    difference=0.13,
    interval=Interval(low=0.08, high=0.18, method="BCa"),
    p_value=1e-6,
    direction="better",
    candidate_ahead=30,
    champion_ahead=4,
    detectable=0.05,
    power="With 200 items …",
)
TIMINGS = Timings(median_s=0.2, p95_s=0.4, tokens=5, cut=0)
LATENCY = Latency(
    requests=200, candidate=TIMINGS, champion=TIMINGS, median_ratio=1.0, p95_ratio=1.0
)
GOOD = Evidence(
    parity=PARITY,
    answers=Answers(held_out=200, asked=200, left_out=0, unanswered=0),
    comparison=WON,
    slices=Slices(by="none", min_items=20),
    latency=LATENCY,
    size=Size(adapter_bytes=1_000_000),
)
LOST = Slice(
    name="card arrival",
    items=30,
    candidate=0.5,
    champion=0.9,
    difference=-0.4,
    p_value=0.001,
    verdict="regression",
)


def _evidence(part: str, **changes: Any) -> Evidence:
    return GOOD.model_copy(update={part: getattr(GOOD, part).model_copy(update=changes)})


def _slices(*slices: Slice) -> Evidence:
    return _evidence("slices", by="reference", slices=slices)


def test_all_good_is_promoted_with_every_reason() -> None:
    verdict = decide(GOOD, Bounds())
    assert verdict.outcome == "promote"
    assert len(verdict.reasons) == len(verdict.checks) == 7
    assert [check.name for check in verdict.checks] == [
        "parity",
        "template",
        "answers",
        "comparison",
        "slices",
        "latency",
        "size",
    ]


DIFFERS = PROBE.model_copy(update={"same_template": False, "template_note": "they part at token 3"})
CASES: list[tuple[str, Evidence, str, str, str]] = [
    ("other weights", _evidence("parity", served=0.051), "refuse", "parity", "up to 0.051 over 4"),
    ("bad merge", _evidence("parity", merged=0.2), "refuse", "parity", "another model"),
    ("no effect", _evidence("parity", adapter_effect=0.01), "inconclusive", "parity", "than 0.01,"),
    ("no parity", _evidence("parity", error="No vLLM."), "inconclusive", "parity", "No vLLM."),
    (
        "other template",
        _evidence("parity", templates_differ=1, probes=(DIFFERS,)),
        "refuse",
        "template",
        "1 of 1 conversations .* part at token 3",
    ),
    ("unanswered", _evidence("answers", unanswered=3), "inconclusive", "answers", "197 of 200"),
    ("no win", _evidence("comparison", p_value=0.05), "inconclusive", "comparison", "p = 0.05"),
    (
        "a loss",
        _evidence("comparison", difference=-0.1, direction="worse"),
        "refuse",
        "comparison",
        "worse than the champion",
    ),
    (
        "mean against test",
        _evidence("comparison", difference=-0.1),
        "inconclusive",
        "comparison",
        "disagree",
    ),
    ("none asked", GOOD.model_copy(update={"comparison": None}), "inconclusive", "comparison", ""),
    ("slice", _slices(LOST), "refuse", "slices", "«card arrival» .0.500 against 0.900, 30 items"),
    (
        "slow",
        _evidence("latency", median_ratio=1.26),
        "refuse",
        "latency",
        "ratio 1.26, bound 1.25",
    ),
    ("slow tail", _evidence("latency", p95_ratio=1.6), "refuse", "latency", "too slow"),
    ("no latency", GOOD.model_copy(update={"latency": None}), "inconclusive", "latency", ""),
    ("large", _evidence("size", adapter_bytes=2**30), "refuse", "size", "1024.0 MiB"),
]


@pytest.mark.parametrize(
    ("evidence", "outcome", "check", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_each_fault_alone_withholds_the_promotion(
    evidence: Evidence, outcome: str, check: str, said: str
) -> None:
    verdict = decide(evidence, Bounds())
    assert verdict.outcome == outcome
    blamed, *also = (c for c in verdict.checks if c.result != "pass")
    assert blamed.name == check
    assert [c.name for c in also] == (["template"] if evidence.parity.error else [])
    assert verdict.reasons[0] == blamed.reason

    assert re.search(said, blamed.reason)


@pytest.mark.parametrize(
    ("asked", "outcome"), [(0.13, "promote"), (0.15, "inconclusive"), (0.2, "refuse")]
)
def test_a_win_must_be_as_large_as_asked(asked: float, outcome: str) -> None:
    """Refused where the interval's upper end (0.18) is below, open where it is not."""
    assert decide(GOOD, Bounds(min_improvement=asked)).outcome == outcome


def test_guessing_labels_is_no_win_worth_a_promotion() -> None:
    """7 right of 500 where the champion has none: significant, and next to nothing."""
    guessing = _evidence(
        "comparison",
        items=500,
        candidate=7 / 500,
        champion=0.0,
        difference=7 / 500,
        interval=Interval(low=0.006, high=0.026, method="BCa"),
        p_value=2 * 0.5**7,
        candidate_ahead=7,
        champion_ahead=0,
    )
    verdict = decide(guessing, Bounds())
    assert verdict.outcome == "inconclusive"
    assert "better by less than the 0.02" in verdict.reasons[0]


def test_suspects_and_small_slices_are_told_and_do_not_refuse() -> None:
    suspect = LOST.model_copy(update={"verdict": "suspect", "p_value": 0.2})
    small = LOST.model_copy(update={"verdict": "too small", "p_value": None})
    verdict = decide(_slices(suspect, small), Bounds())
    assert verdict.outcome == "promote"
    said = verdict.checks[4].reason
    assert "1 of under 20 items have too few that differ" in said
    assert "Lower, without the evidence: «card arrival»" in said


def test_a_refusal_outweighs_what_is_open() -> None:
    both = _evidence("parity", served=1.0).model_copy(update={"latency": None})
    assert decide(both, Bounds()).outcome == "refuse"


def test_a_full_model_has_nothing_to_merge() -> None:
    alone = _evidence("parity", merged=None, adapter_effect=None)
    assert decide(alone, Bounds()).outcome == "promote"


def test_texts_without_a_conversation_need_no_template() -> None:
    text = PROBE.model_copy(update={"same_template": None})
    verdict = decide(_evidence("parity", templates_checked=0, probes=(text,)), Bounds())
    assert verdict.outcome == "promote"
    assert "no chat template takes part" in verdict.checks[1].reason
