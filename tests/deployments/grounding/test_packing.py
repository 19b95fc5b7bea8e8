"""The token budget, with a real tokenizer."""

import pytest

from deployments.gateway.grounding.packing import PASSAGE_OVERHEAD, pack, passage_budget
from deployments.gateway.grounding.tokens import TokenCounter
from ingestion.sentences import sentence_spans
from tests.fakes.chat import passage

LONG = "The first fact is short. The second fact has a few more words in it. " * 8


def test_a_text_longer_than_the_models_training_limit_is_counted_whole(
    counter: TokenCounter,
) -> None:
    assert counter.count("word " * 1000) == 1000


def test_whole_passages_are_taken_in_rank_order(counter: TokenCounter) -> None:
    packing = pack([passage("one two"), passage("three", number=2)], counter, 100, 10)
    assert [used.passage.id for used in packing.used] == ["psg_1", "psg_2"]
    assert [used.number for used in packing.used] == [1, 2]
    assert packing.tokens == counter.count("one two") + counter.count("three") + 16


def test_one_that_does_not_fit_is_left_out_and_a_smaller_one_behind_it_taken(
    counter: TokenCounter,
) -> None:
    found = [passage("small"), passage(LONG, number=2), passage("also small", number=3)]
    packing = pack(found, counter, 40, 10)
    assert [used.passage.id for used in packing.used] == ["psg_1", "psg_3"]
    (left,) = packing.left_out
    assert (left.passage.id, left.reason) == ("psg_2", "budget")
    assert left.tokens > 40


def test_the_limit_and_a_repeated_text_leave_out_too(counter: TokenCounter) -> None:
    found = [passage("a"), passage("a", number=2), passage("b", number=3), passage("c", number=4)]
    packing = pack(found, counter, 1000, 2)
    assert [left.reason for left in packing.left_out] == ["duplicate", "limit"]


def test_the_best_passage_is_cut_after_a_sentence_only_if_nothing_else_fits(
    counter: TokenCounter,
) -> None:
    packing = pack([passage(LONG), passage(LONG + "x", number=2)], counter, 40, 10)
    (used,) = packing.used
    assert used.truncated
    assert used.passage.id == "psg_1"
    assert any(end == len(used.text) for _, end in sentence_spans(LONG))
    assert used.tokens <= 40
    assert [left.passage.id for left in packing.left_out] == ["psg_2"]


def test_a_sentence_larger_than_the_budget_is_cut_after_a_word(counter: TokenCounter) -> None:
    (used,) = pack([passage("alpha beta gamma " * 100)], counter, 30, 10).used
    assert used.text.endswith(("alpha", "beta", "gamma"))
    assert used.tokens <= 30


def test_nothing_is_used_where_not_a_word_fits(counter: TokenCounter) -> None:
    packing = pack([passage("alpha beta")], counter, PASSAGE_OVERHEAD, 10)
    assert packing.used == ()
    assert [left.reason for left in packing.left_out] == ["budget"]


@pytest.mark.parametrize(
    ("context", "prompt", "answer", "most", "budget"),
    [(4096, 100, 256, 900, 900), (1024, 100, 256, 900, 668), (300, 100, 256, 900, -56)],
)
def test_passages_get_what_prompt_and_answer_leave(
    context: int, prompt: int, answer: int, most: int, budget: int
) -> None:
    assert passage_budget(context, prompt, answer, most) == budget
