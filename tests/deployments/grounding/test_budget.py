"""What fits beside passages and answer."""

from deployments.gateway.grounding.budget import fit_texts, fit_turns
from deployments.gateway.grounding.tokens import TokenCounter

TURNS = [
    {"role": "user", "content": "one " * 50},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
    {"role": "assistant", "content": "four"},
]


def test_the_latest_turns_are_kept_from_a_users_turn_on(counter: TokenCounter) -> None:
    kept, tokens = fit_turns(TURNS, counter, 40)
    assert [turn["content"] for turn in kept] == ["three", "four"]
    assert tokens == counter.count_message("three") + counter.count_message("four")


def test_all_turns_are_kept_where_they_fit(counter: TokenCounter) -> None:
    assert fit_turns(TURNS, counter, 1000)[0] == TURNS


def test_texts_that_do_not_fit_are_passed_over(counter: TokenCounter) -> None:
    assert fit_texts(["word " * 40, "a few words"], counter, 20) == ["a few words"]
