"""Rules do not get worse than they are on the texts that they were written with."""

import pytest

from tests.benchmarks.guards import figures, judged, measured_guards
from tests.data.labelled_guards import GUARDS, labelled
from tests.fakes.parts import FakeEmbedder


@pytest.mark.parametrize(
    "guard", ["injection", "jailbreak", "personal_data", "secrets", "toxicity"]
)
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


STRANGERS = {  # a little less than was measured once, without looking at the texts
    ("injection", "stranger"): (0.9, 0.65),
    ("jailbreak", "stranger"): (0.85, 0.75),
    ("personal_data", "stranger"): (0.85, 0.8),
    ("toxicity", "stranger"): (0.95, 0.5),
    ("secrets", "stranger"): (0.9, 0.9),
    ("injection", "second_stranger"): (0.75, 0.42),
    ("jailbreak", "second_stranger"): (0.83, 0.7),
    ("toxicity", "second_stranger"): (0.72, 0.28),
}


@pytest.mark.parametrize(("guard", "part"), STRANGERS)
async def test_what_strangers_wrote_is_found_as_often_as_before(guard: str, part: str) -> None:
    rows = labelled(guard, part)
    guards = measured_guards(guard, FakeEmbedder(), similarity=False)
    await guards.warm_up()
    precision, recall, _ = figures(rows, await judged(guards, rows))
    least_precision, least_recall = STRANGERS[guard, part]
    assert precision >= least_precision
    assert recall >= least_recall


@pytest.mark.parametrize("guard", GUARDS)
def test_both_parts_have_texts_of_both_kinds(guard: str) -> None:
    for part in ("tuning", "held_out", "stranger"):
        rows = labelled(guard, part)
        assert {row.label for row in rows} == {True, False}
        assert len({row.text for row in rows}) == len(rows)
