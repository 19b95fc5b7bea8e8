"""Shares of projects that wait, by start-time fair queueing."""

from collections import Counter

from deployments.limits.fair_order import FairOrder, Flow

NOISY, QUIET = Flow(False, "noisy"), Flow(False, "quiet")


def taken(order: FairOrder[str], count: int) -> list[str]:
    return [str(order.pop()) for _ in range(count)]


def test_one_that_waits_for_itself_keeps_nobody_else_waiting() -> None:
    order: FairOrder[str] = FairOrder()
    for _ in range(100):
        order.push(NOISY, 1, 10, "noisy")
    taken(order, 5)
    order.push(QUIET, 1, 10, "quiet")
    assert order.ahead_of(Flow(False, "third")) == 2
    assert "quiet" in taken(order, 2)


def test_shares_are_by_tokens_and_weight() -> None:
    order: FairOrder[str] = FairOrder()
    for _ in range(200):
        order.push(NOISY, 1, 30, "noisy")  # thrice the tokens
        order.push(QUIET, 2, 10, "quiet")  # and twice the weight
    counts = Counter(taken(order, 70))
    assert counts["quiet"] / counts["noisy"] == 6


def test_time_that_a_flow_was_idle_is_not_saved_up() -> None:
    order: FairOrder[str] = FairOrder()
    for _ in range(50):
        order.push(NOISY, 1, 1, "noisy")
    taken(order, 40)
    for _ in range(10):
        order.push(QUIET, 1, 1, "quiet")
    counts = Counter(taken(order, 10))
    assert counts["quiet"] in {5, 6}


def test_users_go_before_background_work() -> None:
    order: FairOrder[str] = FairOrder()
    order.push(Flow(True, "quiet"), 100, 1, "background")
    for _ in range(3):
        order.push(NOISY, 1, 1000, "user")
    assert order.ahead_of(QUIET) == 1
    assert order.ahead_of(Flow(True, "third")) == 4
    assert taken(order, 4) == ["user", "user", "user", "background"]
    assert order.pop() is None


def test_who_leaves_is_gone_and_the_youngest_of_the_longest_is_found() -> None:
    order: FairOrder[str] = FairOrder()
    for name in ("a", "b", "c"):
        order.push(NOISY, 1, 1, name)
    order.push(QUIET, 1, 1, "d")
    assert order.longest() == NOISY
    assert order.youngest(NOISY) == "c"
    assert order.remove(NOISY, "b")
    assert not order.remove(NOISY, "b")
    assert (len(order), order.waiting(NOISY)) == (3, 2)
    order.push(Flow(True, "quiet"), 1, 1, "background")
    assert order.longest() == Flow(True, "quiet")


def test_it_forgets_flows_whose_turn_is_past() -> None:
    order: FairOrder[str] = FairOrder()
    for number in range(2000):
        order.push(Flow(False, f"project-{number}"), 1, 1, "item")
        order.pop()
        order.push(NOISY, 1, 1, "item")
        order.pop()
    assert len(order._finish) < 600
