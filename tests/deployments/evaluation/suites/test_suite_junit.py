"""The JUnit file: well formed whatever the answers hold, and red exactly where the run is."""

from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from deployments.evaluation.suites.junit import junit_xml
from deployments.evaluation.suites.outcome import Outcome
from deployments.evaluation.suites.results import Graded, ItemResult
from deployments.evaluation.suites.verdict import Check, Verdict

KEPT = Check("right", "min_pass_rate", 0.5, 0.5, True, "right passes 1 of 2.", 0)
BROKEN = Check("right", "min_pass_rate", 0.9, 0.5, False, "right passes 1 of 2.", 1)
NASTY = 'a "quote" & <tag> ]]> \x00\x1b\ud800 ünï 漢 \U0001f600'


def outcome(checks: Sequence[Check], *, answer: str = "no", synthetic: int = 0) -> Outcome:
    results = (
        ItemResult(1, {"question": "one?"}, "yes", {"right": Graded(1.0, True)}),
        ItemResult(2, {"question": "two?"}, answer, {"right": Graded(0.0, False)}),
    )
    return Outcome(
        suite="s",
        file="s.yaml",
        eval_id="eval_1",
        run_ids=("evalrun_1",),
        model="m",
        seed=0,
        items=2,
        synthetic=synthetic,
        results=results,
        graders=("right", "near"),
        slices=(),
        verdict=Verdict(tuple(checks)),
        seconds=1.5,
    )


def parsed(found: Outcome) -> ElementTree.Element:
    (suite,) = ElementTree.fromstring(junit_xml(found))  # noqa: S314 - our own
    return suite


def test_a_check_that_was_not_kept_is_a_failure_that_lists_its_items() -> None:
    suite = parsed(outcome([BROKEN]))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "right passes 1 of 2."
    assert "item 2: 0; 'two?' was answered 'no'" in (failure.text or "")
    assert "item 1" not in (failure.text or "")


def test_items_that_fail_within_the_threshold_are_no_failures() -> None:
    suite = parsed(outcome([KEPT]))
    assert suite.find("testcase/failure") is None
    kept = suite.find("testcase/system-out")
    assert kept is not None
    assert "item 2" in (kept.text or "")


def test_a_grader_without_a_threshold_is_skipped() -> None:
    skipped = [c.get("name") for c in parsed(outcome([KEPT])).iter("testcase") if len(c)][1]
    assert skipped == "near: no threshold"


@pytest.mark.parametrize("nasty", [NASTY, "\x07", "<![CDATA["])
def test_any_answer_makes_well_formed_xml(nasty: str) -> None:
    failure = parsed(outcome([BROKEN], answer=nasty)).find("testcase/failure")
    assert failure is not None
    assert "\x00" not in (failure.text or "")


def test_synthetic_items_are_said() -> None:
    properties = {
        found.get("name"): found.get("value")
        for found in parsed(outcome([KEPT], synthetic=1)).iter("property")
    }
    assert properties["synthetic"] == "1 of 2 items are synthetic"
    assert properties["model"] == "m"
