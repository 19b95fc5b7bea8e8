"""What is given up, and when it is taken up again."""

from deployments.limits.ladder import Ladder, Step, Steps, decide

STEPS = Steps((0.25, 0.5, 0.75), 0.5)


def test_each_step_begins_at_its_pressure() -> None:
    reached = [decide(pressure, Step.WHOLE, STEPS) for pressure in (0, 0.24, 0.25, 0.5, 0.75, 9)]
    assert reached == [
        Step.WHOLE,
        Step.WHOLE,
        Step.FEWER_PASSAGES,
        Step.CACHED_ANSWER,
        Step.SMALLER_MODEL,
        Step.SMALLER_MODEL,
    ]


def test_a_step_is_left_well_below_where_it_begins() -> None:
    assert decide(0.4, Step.SMALLER_MODEL, STEPS) is Step.SMALLER_MODEL
    assert decide(0.3, Step.SMALLER_MODEL, STEPS) is Step.CACHED_ANSWER
    assert decide(0.2, Step.CACHED_ANSWER, STEPS) is Step.FEWER_PASSAGES
    assert decide(0.1, Step.FEWER_PASSAGES, STEPS) is Step.WHOLE


def test_projects_stand_on_steps_of_their_own_and_few_are_remembered() -> None:
    ladder = Ladder(STEPS)
    assert ladder.step("one", 0.6) is Step.CACHED_ANSWER
    assert ladder.step("two", 0.3) is Step.FEWER_PASSAGES
    assert ladder.step("one", 0.3) is Step.CACHED_ANSWER
    for number in range(2000):
        ladder.step(f"project-{number}", 0.9)
    assert len(ladder._now) == Ladder._KEPT
