"""Identifiers: their order and their form."""

from cluster.ids import content_id, new_id


def test_identifiers_of_one_moment_sort_by_their_creation() -> None:
    made = [new_id("trace") for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {len(one) for one in made} == {len("trace_") + 32}


def test_a_file_is_named_as_openai_names_it() -> None:
    assert new_id("file").startswith("file-")
    assert new_id("vs").startswith("vs_")


def test_parts_of_a_content_id_do_not_run_together() -> None:
    assert content_id("p", "ab", "c") != content_id("p", "a", "bc")
    assert content_id("p", "ab", "c") == content_id("p", "ab", "c")
