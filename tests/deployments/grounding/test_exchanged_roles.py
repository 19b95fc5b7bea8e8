"""Who does what to whom."""

import pytest

from deployments.gateway.grounding.relations import Relation, relations_of, swapped
from deployments.gateway.grounding.terms import tokenize


def _relations(text: str) -> frozenset[Relation]:
    return relations_of(text, tokenize(text))


def test_a_relation_is_what_stands_between_two_names() -> None:
    (found,) = _relations("In spring Anna Roth invited Ben to dinner.")
    assert found == (frozenset({"anna", "roth"}), ("invit",), frozenset({"ben"}))


@pytest.mark.parametrize(
    "text",
    [
        "Anna and Ben left.",
        "Anna, who invited Ben",
        "Anna married Ben.",
        "Anna, the first of all guests of the whole evening, saw Ben.",
        "Anna went with very great and unhurried steps through Rome.",
    ],
)
def test_what_holds_both_ways_or_is_far_apart_is_no_relation(text: str) -> None:
    assert not _relations(text)


@pytest.mark.parametrize(
    ("claim", "source", "found"),
    [
        ("Ben invited Anna.", "Anna invited Ben.", True),
        ("Roth invited Ben Ott.", "Ott invited Anna Roth.", True),
        ("Anna invited Ben.", "Anna invited Ben.", False),
        ("Ben was invited by Anna.", "Anna invited Ben.", False),
        ("Ben invited Anna.", "Anna invited Carl.", False),
        ("Ben invited Anna.", "Anna invited Ben and Ben invited Anna.", False),
    ],
)
def test_the_same_words_between_exchanged_names_are_swapped(
    claim: str, source: str, found: bool
) -> None:
    assert (swapped(_relations(claim), _relations(source)) is not None) == found
