"""Terms for BM25: the same on both sides of a search."""

import pytest

from ingestion.analysis import analyse, analyse_query, terms


def test_words_are_normalised_stemmed_and_stripped_of_stop_words() -> None:
    assert terms("The ﬁndings of Boundary-Layers") == ["find", "boundari", "layer"]


def test_analysis_is_deterministic_and_meets_the_query() -> None:
    passage = analyse("Wings were tested in slipstreams")
    assert passage == analyse("Wings were tested in slipstreams")
    assert set(analyse_query("testing a wing in the slipstream").split()) <= set(passage.split())


def test_a_language_has_its_own_stemmer() -> None:
    assert terms("Häuser", "de") == terms("Haus", "de")
    assert terms("Häuser", "en") != terms("Haus", "en")


def test_an_unknown_language_falls_back_to_english() -> None:
    assert terms("running", "xx") == terms("running", "en") == terms("running", None)


def test_cjk_runs_become_pairs_and_latin_inside_stays_a_word() -> None:
    assert terms("第3章 日本語abc") == ["第", "3", "章", "日本", "本語", "abc"]


def test_every_term_is_word_characters_only() -> None:
    text = "don't C++ a_b naïve — e=mc² नमस्ते 🦆 x\u0000y"
    assert all(term.isalnum() for term in terms(text) if term.isascii())
    assert " " not in "".join(terms(text))


def test_a_query_carries_the_stems_of_every_language_once() -> None:
    both = analyse_query("running Häuser", ["en", "de"]).split()
    assert "run" in both
    assert "haus" in both
    assert len(both) == len(set(both))


@pytest.mark.parametrize("query", ["what is it", "the who"])
def test_a_query_of_stop_words_still_asks_for_something(query: str) -> None:
    assert analyse_query(query).split() == query.split()


@pytest.mark.parametrize("query", ["", "  ", "?!… 🦆"])
def test_a_query_without_words_is_empty(query: str) -> None:
    assert analyse_query(query) == ""
