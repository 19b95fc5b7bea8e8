"""What the Trainer does about open work, by what it knows."""

from typing import Any

import pytest

from deployments.trainer.policy import Limits, OpenWork, Serving, Step, decide

CALM = Serving()
PRESSED = Serving(pressed_s=3.0, calm_s=None)
LIMITS = Limits(
    max_running=1, max_crashes=3, yield_after_s=3.0, resume_after_s=30.0, stop_after_s=30.0
)


def job(name: str = "j", **known: Any) -> OpenWork:
    return OpenWork(**{"id": name, "kind": "job", "running": False, **known})


def gate(name: str = "g", **known: Any) -> OpenWork:
    return OpenWork(**{"id": name, "kind": "gate", "running": False, **known})


@pytest.mark.parametrize(
    ("work", "serving", "steps"),
    [
        ([], CALM, []),
        ([job()], CALM, ["start j"]),
        ([job("a"), job("b")], CALM, ["start a"]),
        ([job("a"), gate("g")], CALM, ["start g"]),
        ([job("a", ready=False), job("b")], CALM, ["start b"]),
        ([job("a", running=True), job("b")], CALM, []),
        ([job("a", running=True), gate("g")], CALM, []),
        ([gate("g", running=True), job("a")], CALM, []),
        # Serving goes first.
        ([job()], PRESSED, []),
        ([job()], Serving(calm_s=None), []),
        ([job()], Serving(calm_s=29.9), []),
        ([job()], Serving(calm_s=30.0), ["start j"]),
        ([gate()], PRESSED, ["start g"]),
        ([job(running=True)], Serving(pressed_s=2.9, calm_s=None), []),
        ([job(running=True)], PRESSED, ["ask_to_yield j"]),
        ([job(running=True, wish="yield")], PRESSED, []),
        ([job(running=True, wish="pause")], PRESSED, []),
        ([job(running=True, wish="cancel", wish_age_s=5)], PRESSED, []),
        ([gate(running=True)], PRESSED, []),
        ([job("a", running=True), job("b")], PRESSED, ["ask_to_yield a"]),
        # What is lost goes on, so often.
        ([job(running=True, lost=True)], CALM, ["restart j"]),
        ([job(running=True, lost=True, crashes=2)], CALM, ["restart j"]),
        ([job(running=True, lost=True, crashes=3)], CALM, ["give_up j"]),
        ([gate(running=True, lost=True, crashes=3)], CALM, ["give_up g"]),
        ([job(running=True, lost=True)], PRESSED, ["restart j"]),
        ([job(running=True, lost=True, wish="pause")], CALM, ["restart j"]),
        ([job(running=True, lost=True, wish="cancel")], CALM, ["stop j"]),
        ([job(running=True, lost=True, wish="cancel", crashes=3)], CALM, ["stop j"]),
        ([job("b", running=True, lost=True), job("a")], CALM, ["restart b"]),
        (
            [job("a", running=True, lost=True, crashes=3), job("b")],
            CALM,
            ["give_up a", "start b"],
        ),
        # A cancel that nobody heard.
        ([job(running=True, wish="cancel", wish_age_s=29.9)], CALM, []),
        ([job(running=True, wish="cancel", wish_age_s=30.0)], CALM, ["stop j"]),
        ([job(running=True, wish="pause", wish_age_s=300.0)], CALM, []),
        ([job(running=True, wish="yield", wish_age_s=300.0)], CALM, []),
        # One that is being stopped still holds its place.
        ([job("a", running=True, wish="cancel", wish_age_s=60), job("b")], CALM, ["stop a"]),
    ],
)
def test_the_steps_follow_from_what_is_known(
    work: list[OpenWork], serving: Serving, steps: list[str]
) -> None:
    found = decide(work, serving, LIMITS)
    assert [f"{step.action} {step.id}" for step in found] == steps


def test_so_many_run_at_once_as_are_allowed() -> None:
    work = [job("a", running=True), job("b"), job("c"), job("d"), gate("g")]
    assert decide(work, CALM, Limits(max_running=3)) == [Step("start", "g"), Step("start", "b")]


def test_every_running_job_yields() -> None:
    work = [job("a", running=True), job("b", running=True), gate("g", running=True)]
    found = decide(work, PRESSED, Limits(max_running=3))
    assert found == [Step("ask_to_yield", "a"), Step("ask_to_yield", "b")]


def test_no_time_at_all_still_needs_a_reason() -> None:
    at_once = Limits(yield_after_s=0.0, resume_after_s=0.0)
    assert decide([job(running=True)], CALM, at_once) == []
    assert decide([job()], Serving(calm_s=None), at_once) == []
    assert decide([job(running=True)], Serving(pressed_s=0.0), at_once) != []
    assert decide([job()], Serving(calm_s=0.0), at_once) != []
