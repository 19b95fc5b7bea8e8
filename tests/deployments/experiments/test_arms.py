"""Which arm a user is answered by: the same for ever, whatever else changes."""

import timeit
from collections import Counter

import pytest

from deployments.experiments.arms import Arm, Split
from deployments.serving import Retrieval, Serving

ARMS = [Arm(name="control", weight=2), Arm(name="a"), Arm(name="b")]
USERS = [f"user {number}" for number in range(4000)]


def split(arms: list[Arm] = ARMS, salt: str = "s", **more: object) -> Split:
    return Split.between("exp_1", "assistant", salt, arms, **more)  # type: ignore[arg-type]


def name_of(found: Split, user: str) -> str | None:
    arm = found.arm_of(user)
    return None if arm is None else arm.name


def test_users_are_split_by_weight() -> None:
    counts = Counter(name_of(split(), user) for user in USERS)
    assert counts["control"] == pytest.approx(2000, abs=130)
    assert counts["a"] == pytest.approx(1000, abs=110)
    assert counts["b"] == pytest.approx(1000, abs=110)


def test_a_ramp_lets_users_in_and_moves_nobody() -> None:
    few, all_of_them = split(share=0.1), split(share=1.0)
    inside = [user for user in USERS if name_of(few, user) is not None]
    assert len(inside) == pytest.approx(400, abs=80)
    assert all(name_of(few, user) == name_of(all_of_them, user) for user in inside)
    assert Counter(name_of(few, user) for user in inside)["control"] == pytest.approx(200, abs=60)


def test_a_stopped_arm_gives_its_users_back_and_the_others_stay() -> None:
    before, after = split(), split(stopped=["a"])
    for user in USERS:
        was = name_of(before, user)
        assert name_of(after, user) == (None if was == "a" else was)


def test_experiments_split_independently_of_one_another() -> None:
    both = Counter((name_of(split(), u), name_of(split(salt="t"), u)) for u in USERS)
    assert both["a", "a"] == pytest.approx(250, abs=60)


def test_a_shadow_takes_no_part_in_the_split() -> None:
    shadowed = split([*ARMS, Arm(name="c", weight=1000, shadow=True)])
    assert [name_of(shadowed, u) for u in USERS] == [name_of(split(), u) for u in USERS]
    assert [arm.name for arm in shadowed.shadows] == ["c"]
    gone = split([*ARMS, Arm(name="c", shadow=True)], stopped=["c"])
    assert gone.shadows == ()


def test_an_assignment_takes_microseconds() -> None:
    found = split()
    each = min(timeit.repeat(lambda: found.arm_of("user 1"), number=1000, repeat=5)) / 1000
    assert each < 200e-6  # some 5 of them on an idle core


def test_what_an_arm_leaves_out_is_pinned_to_what_the_alias_has() -> None:
    alias = Serving(prompt="p@1", retrieval=Retrieval(mode="bm25", rerank=True))
    bare = Arm(name="control").pinned("base", alias, None)
    assert (bare.model, bare.serving) == ("base", alias)
    own = Arm(name="a", model="ft:x", prompt="q@production", retrieval=Retrieval(rerank=False))
    pinned = own.pinned("base", alias, "q@2")
    assert (pinned.model, pinned.prompt) == ("ft:x", "q@2")
    assert pinned.retrieval == Retrieval(mode="bm25", rerank=False)
