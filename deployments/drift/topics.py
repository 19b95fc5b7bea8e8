"""Which topic moved: clusters of both windows' questions, and each one's share before and now.

The clusters are made without knowing which window a question is of, so that Fisher's exact test of
a cluster's share keeps its level. Four times as many reference questions as current ones are
clustered at the most: among more, a topic of thirty questions would get no cluster of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from deployments.drift.quality import difference_of_shares, quality_of, verdict_of
from deployments.drift.report import Example, TopicReport
from deployments.drift.signals import Observed
from training.gate.slices import holm

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["topics_of"]

_ALPHA: Final = 0.05
_RATIO: Final = 4
_PER_TOPIC: Final = 15
"""Questions of a cluster, on average."""
_MOST_TOPICS: Final = 60
_EXAMPLES: Final = 5
_KEYWORDS: Final = 4
_LONGEST: Final = 300


def topics_of(
    reference: Sequence[Observed],
    current: Sequence[Observed],
    reference_vectors: "NDArray[Any]",
    current_vectors: "NDArray[Any]",
    *,
    seed: int,
) -> list[TopicReport]:
    """Cluster and compare; the most surprising change first. Requests must have questions."""
    import numpy as np
    from sklearn.cluster import KMeans

    chance = np.random.default_rng((seed, 2))
    kept = np.sort(chance.permutation(len(reference))[: _RATIO * len(current)])
    reference, reference_vectors = [reference[i] for i in kept], reference_vectors[kept]
    requests = [*reference, *current]
    rows = np.concatenate([reference_vectors, current_vectors]).astype(np.float32)
    count = max(2, min(_MOST_TOPICS, len(rows) // _PER_TOPIC))
    fitted = KMeans(count, n_init=3, random_state=seed % 2**32).fit(rows)
    nearness = (rows * fitted.cluster_centers_[fitted.labels_]).sum(axis=1)
    members = [np.flatnonzero(fitted.labels_ == number) for number in range(count)]
    members = [places[np.argsort(-nearness[places])] for places in members if len(places)]
    p_values = holm([_p_value(places, len(reference), len(requests)) for places in members])
    keywords = _keywords([[requests[i].question or "" for i in places] for places in members])
    found = [
        _topic([requests[i] for i in places if i < len(reference)],
               [requests[i] for i in places if i >= len(reference)],
               reference, len(current), p_value, words)
        for places, p_value, words in zip(members, p_values, keywords, strict=True)
    ]  # fmt: skip
    found.sort(key=lambda one: (one.p_value, -abs(one.current_share - one.reference_share)))
    return [one.model_copy(update={"number": place}) for place, one in enumerate(found, start=1)]


def _topic(
    before: Sequence[Observed],
    now: Sequence[Observed],
    reference: Sequence[Observed],
    current: int,
    p_value: float,
    keywords: list[str],
) -> TopicReport:
    shares = len(before) / len(reference), len(now) / current
    moved: Literal["rose", "fell", "no"] = "no"
    if p_value <= _ALPHA:
        moved = "rose" if shares[1] > shares[0] else "fell"
    quality = quality_of(now, before, reference)
    return TopicReport(
        number=0,
        keywords=keywords,
        reference_requests=len(before),
        current_requests=len(now),
        reference_share=shares[0],
        current_share=shares[1],
        interval=difference_of_shares(
            [1.0] * len(now) + [0.0] * (current - len(now)),
            [1.0] * len(before) + [0.0] * (len(reference) - len(before)),
        ),
        p_value=p_value,
        moved=moved,
        examples=_examples(now or before),
        quality=quality,
        quality_verdict=verdict_of(quality),
        traces=[one.trace_id for one in now],
    )


def _p_value(places: "NDArray[Any]", reference: int, requests: int) -> float:
    """Fisher's exact test, two-sided, of the cluster's requests by window."""
    from scipy import stats

    before = int((places < reference).sum())
    now = len(places) - before
    table = [[before, reference - before], [now, requests - reference - now]]
    return float(stats.fisher_exact(table).pvalue)


def _examples(requests: Sequence[Observed]) -> list[Example]:
    """The first ones, each question once."""
    found: dict[str, Example] = {}
    for one in requests:
        question = (one.question or "")[:_LONGEST]
        found.setdefault(question.casefold(), Example(trace=one.trace_id, question=question))
        if len(found) == _EXAMPLES:
            break
    return list(found.values())


def _keywords(questions: Sequence[Sequence[str]]) -> list[list[str]]:
    """The words that set each topic off from the others, by tf-idf over topics."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    reader = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    try:
        weights = reader.fit_transform([" ".join(texts) for texts in questions])
    except ValueError:  # stop words only
        return [[] for _ in questions]
    words = reader.get_feature_names_out()
    found = []
    for place in range(len(questions)):
        row = weights[place].toarray()[0]
        best = row.argsort()[::-1][:_KEYWORDS]
        found.append([str(words[i]) for i in best if row[i] > 0])
    return found
