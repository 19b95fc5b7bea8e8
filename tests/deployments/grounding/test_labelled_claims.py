"""The fact check on the labelled claims that ship with the tests, by words alone."""

from collections import Counter

import pytest

from deployments.gateway.grounding.attribution import Verdict
from tests.benchmarks.fact_check import COLUMNS, claims_table, judged_claims, score
from tests.data.labelled_claims import SPLITS, Split, labelled_claims


def test_the_labelled_claims_are_many_and_no_passage_is_in_both_parts() -> None:
    claims = labelled_claims()
    assert len(claims) >= 240
    assert len({(row.passage, row.claim) for row in claims}) == len(claims)
    tuning, held_out = ({row.passage for row in labelled_claims(split)} for split in SPLITS)
    assert not tuning & held_out
    counts = Counter((row.split, row.verdict) for row in claims)
    assert len(counts) == 6
    assert min(counts.values()) >= 25


@pytest.mark.parametrize("split", SPLITS)
async def test_the_fact_check_keeps_what_it_was_measured_at(split: Split) -> None:
    judged = await judged_claims(labelled_claims(split))
    precision, recall, _ = score(judged, lambda said: said != "supported")
    assert precision >= 0.86
    assert recall >= 0.94
    precision, recall, _ = score(judged, lambda said: said == "contradicted")
    assert precision >= 0.98
    assert recall >= 0.75


async def test_the_table_has_a_row_for_each_figure_and_part() -> None:
    rows = await claims_table()
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert [row[1] for row in rows] == ["tuning", "tuning", "held_out", "held_out"]


async def test_a_score_counts_what_was_said_and_what_was_meant() -> None:
    claims = labelled_claims("tuning")[:12]
    judged = await judged_claims(claims)
    every: set[Verdict | None] = {"supported", "contradicted", "unverifiable"}
    assert score(judged, lambda said: said in every) == (1.0, 1.0, 1.0)
    assert score(judged, lambda said: said is None) == (0.0, 0.0, 0.0)
