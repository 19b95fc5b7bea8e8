"""How well the passages before an answer were ranked, by the documents known to be relevant.

Documents are ranked, not passages: a document stands where its first passage does, and its others
count no more. A passage without a document's name takes up a place and is relevant to nobody. The
binary measures are as in Manning, Raghavan, Schütze 2008 (chapter 8), and as trec_eval has them
precision's denominator is k however few documents were found.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from deployments.evaluation.cases import Passage, Score
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.metrics.scoring import Judge, NotApplicable, one_by_one, shown

__all__ = [
    "RETRIEVAL_METRICS",
    "mrr",
    "ndcg_at_k",
    "precision_at_k",
    "ranked_documents",
    "recall_at_k",
    "relevant_documents",
]

Ranked = Sequence[str | None]
"""Names of documents, best first, each once; None for a passage without one."""
Gains = Mapping[str, float]
"""How relevant each relevant document is; all are above 0, and there is at least one."""

_K: Final = 10
_DETAIL_NAMES: Final = 50


def ranked_documents(passages: Sequence[Passage]) -> list[str | None]:
    """The documents in the order of their first passages."""
    seen: set[str] = set()
    ranked: list[str | None] = []
    for passage in passages:
        if not passage.document:
            ranked.append(None)
        elif passage.document not in seen:
            seen.add(passage.document)
            ranked.append(passage.document)
    return ranked


def relevant_documents(reference: Any) -> dict[str, float]:
    """Gains by name, of a name, a list of names (1 each) or a mapping; as such or as JSON.

    Raises NotApplicable where none is relevant, or where the reference is something else.
    """
    given = reference
    if isinstance(given, str) and given.lstrip()[:1] in {"[", "{"}:
        try:
            given = json.loads(given)
        except ValueError:
            given = reference  # a name may begin with a bracket
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Sequence) and all(isinstance(name, str) for name in given):
        given = dict.fromkeys(filter(None, given), 1.0)
    if not isinstance(given, Mapping) or not all(map(_is_gain, given.values())):
        raise NotApplicable(
            "The reference must be a list of documents' names, or an object of names and gains "
            f"of at least 0, not {shown(reference)}."
        )
    gains = {str(name): float(gain) for name, gain in given.items() if gain > 0}
    if not gains:
        raise NotApplicable("No document is relevant to this item.")
    return gains


def recall_at_k(ranked: Ranked, gains: Gains, k: int) -> float:
    """Share of the relevant documents that are among the first k."""
    return _hits(ranked[:k], gains) / len(gains)


def precision_at_k(ranked: Ranked, gains: Gains, k: int) -> float:
    """Share of k places that relevant documents hold; an empty place holds none."""
    return _hits(ranked[:k], gains) / k


def mrr(ranked: Ranked, gains: Gains, k: int) -> float:
    """1 by the rank of the first relevant document, 0 where none is among the first k."""
    return next((1 / rank for rank, name in enumerate(ranked[:k], 1) if name in gains), 0.0)


def ndcg_at_k(ranked: Ranked, gains: Gains, k: int) -> float:
    """Gain discounted by log2(rank + 1), as a share of what the best order has at k.

    Gains are linear (Järvelin, Kekäläinen 2002), as scikit-learn's `ndcg_score` has them.
    """
    found = [gains.get(name, 0.0) if name else 0.0 for name in ranked[:k]]
    best = sorted(gains.values(), reverse=True)[:k]
    return _discounted(found) / _discounted(best)


def _hits(names: Ranked, gains: Gains) -> int:
    return sum(name in gains for name in names)


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _is_gain(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def _prepare(measure: Callable[[Ranked, Gains, int], float]) -> Callable[..., Judge]:
    def prepare(options: Mapping[str, Any]) -> Judge:
        k = options.get("k", _K)

        def judge(answer: MetricInput) -> Score:
            sample = answer.case.sample
            if sample is None:
                raise NotApplicable("The item brings its answer itself, without passages.")
            gains = relevant_documents(answer.reference)
            ranked = ranked_documents(sample.passages)
            detail = {"ranked": ranked[:_DETAIL_NAMES], "relevant": list(gains)[:_DETAIL_NAMES]}
            return Score(measure(ranked, gains, k), detail={**detail, "k": k})

        return judge

    return prepare


RETRIEVAL_METRICS: Final = tuple(
    Metric(
        name,
        description,
        one_by_one(_prepare(measure)),
        reference="documents",
        options={"k": Annotated[int, Field(ge=1, le=1000)]},
    )
    for name, description, measure in (
        (
            "recall_at_k",
            "Share of the relevant documents among the first `k` (10) that were found.",
            recall_at_k,
        ),
        (
            "precision_at_k",
            "Share of the first `k` (10) places that relevant documents hold (as trec_eval).",
            precision_at_k,
        ),
        (
            "mrr",
            "1 by the rank of the first relevant document among the first `k` (10), else 0; the "
            "mean over items is the mean reciprocal rank.",
            mrr,
        ),
        (
            "ndcg_at_k",
            "Normalised discounted cumulative gain of the first `k` (10) documents "
            "(Järvelin, Kekäläinen 2002).",
            ndcg_at_k,
        ),
    )
)
