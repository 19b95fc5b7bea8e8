"""Rules do not get worse than they are on the texts that they were written with."""

import pytest

from tests.benchmarks.guards import figures, judged, measured_guards
from tests.data.labelled_guards import GUARDS, labelled
from tests.fakes.parts import FakeEmbedder


@pytest.mark.parametrize("guard", ["injection", "jailbreak", "secrets", "toxicity"])
async def test_rules_find_what_they_were_written_for(guard: str) -> None:
    rows = labelled(guard, "tuning")
    guards = measured_guards(guard, FakeEmbedder(), similarity=False)
    precision, recall, _ = figures(rows, await judged(guards, rows))
    assert precision >= 0.9
    assert recall >= 0.85


@pytest.mark.parametrize("guard", ["injection", "jailbreak"])
async def test_the_recogniser_finds_what_rules_miss_and_hardly_more(guard: str) -> None:
    rows = labelled(guard, "tuning")
    embedder = FakeEmbedder()
    rules = measured_guards(guard, embedder, similarity=False, recogniser=False)
    both = measured_guards(guard, embedder, similarity=False)
    by_rules = figures(rows, await judged(rules, rows))
    by_both = figures(rows, await judged(both, rows))
    assert by_both[1] >= by_rules[1] + 0.1
    assert by_both[0] >= by_rules[0] - 0.05


@pytest.mark.parametrize("guard", GUARDS)
def test_both_parts_have_texts_of_both_kinds(guard: str) -> None:
    for part in ("tuning", "held_out"):
        assert {row.label for row in labelled(guard, part)} == {True, False}
    texts = [row.text for row in labelled(guard)]
    assert len(set(texts)) == len(texts)
