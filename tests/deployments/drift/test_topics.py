"""Which topic moved, by which questions, and whether answers on it became worse."""

import asyncio

import numpy as np
import pytest

from deployments.drift.quality import difference_of_means, difference_of_shares, quality_of
from deployments.drift.report import TopicReport
from deployments.drift.signals import Observed
from deployments.drift.topics import topics_of
from tests.fakes.parts import FakeEmbedder
from tests.fixtures.traffic import CARDS, ROCKETS, questions


def observed(texts: list[str], refused: float) -> list[Observed]:
    return [
        Observed(f"trace_{place}", place, text, {"refusals": float(place % 100 < refused * 100)})
        for place, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def topics() -> list[TopicReport]:
    before = observed(questions(CARDS, 400), 0.02)
    usual, planted = observed(questions(CARDS, 80, 1), 0.02), questions(ROCKETS, 40, 2)
    now = [*usual, *observed(planted, 0.5)]
    vectors = [
        np.array(asyncio.run(FakeEmbedder().embed([one.question or "" for one in side])).vectors)
        for side in (before, now)
    ]
    return topics_of(before, now, vectors[0], vectors[1], seed=0)


def test_the_planted_topic_is_named_with_examples(topics: list[TopicReport]) -> None:
    first = topics[0]
    assert (first.number, first.moved) == (1, "rose")
    assert set(first.keywords) <= set(ROCKETS)
    words = {word for example in first.examples for word in example.question.split()}
    assert words <= set(ROCKETS)
    assert first.interval.low > 0
    assert first.reference_requests < 5


def test_every_current_request_is_of_one_topic(topics: list[TopicReport]) -> None:
    assert sum(one.current_requests for one in topics) == 120
    assert sum(one.current_share for one in topics) == pytest.approx(1)
    assert sum(len(one.traces) for one in topics) == 120


def test_quality_is_judged_against_all_topics_where_the_topic_is_new() -> None:
    before = observed(["card"] * 300, 0.02)
    (answered,) = quality_of(observed(["rocket"] * 40, 0.5), [], before)
    assert (answered.measure, answered.against) == ("answered", "all topics before")
    assert answered.verdict == "fell"
    (same,) = quality_of(observed(["card"] * 100, 0.02), before, before)
    assert (same.against, same.verdict) == ("the topic before", "did not fall")
    assert quality_of(observed(["rocket"] * 9, 0.5), [], before) == []


def test_newcombes_interval_is_the_published_one() -> None:
    # Newcombe 1998, table II, (a): 56/70 against 48/80, method 10.
    found = difference_of_shares([1.0] * 56 + [0.0] * 14, [1.0] * 48 + [0.0] * 32)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_welchs_interval_is_scipys() -> None:
    from scipy import stats

    chance = np.random.default_rng(0)
    first, second = chance.normal(1, 2, 30), chance.normal(0, 1, 50)
    known = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = difference_of_means(first.tolist(), second.tolist())
    assert (found.low, found.high) == pytest.approx((known.low, known.high))
