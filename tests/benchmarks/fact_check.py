"""What the fact check says of labelled claims, and how long it takes, without a judge.

    python -m tests.benchmarks.fact_check [--no-similarity]

Each claim of `tests/data/guards/claims.jsonl` is held against its passage: by words alone, and with
the packaged embedding model on this process's CPU. The table gives precision, recall and F1 for the
part that the rules were tuned on and for the part that was held out, of the claims that are
*unsupported* (contradicted or unverifiable) and of those that are *contradicted*; then the
milliseconds of a claim. The JSON has the figures of all three verdicts, and those that went wrong.

The held-out part was written by who wrote the rules: a stranger's claims fare worse.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cluster.models import ensure_model
from cluster.settings import load_settings
from deployments.gateway.grounding.attribution import Attributor, Verdict
from deployments.gateway.grounding.similarity import SimilarityBudget
from deployments.gateway.grounding.windows import SourcePassage
from deployments.ports import TextEmbedder
from tests.benchmarks.reporting import percentile, report
from tests.data.labelled_claims import SPLITS, LabelledClaim, labelled_claims
from tests.fakes.embedder import MiniLmEmbedder

__all__ = ["COLUMNS", "Judged", "claims_table", "judged_claims", "score"]

COLUMNS: Final = ("check", "part", "texts", "precision", "recall", "F1", "p50 ms", "p95 ms")
_BUDGET: Final = SimilarityBudget(texts=192, timeout_s=60.0)
"""Texts as in service; a wait that a busy machine does not run into."""
_COUNTED: Final[dict[str, Callable[[Verdict | None], bool]]] = {
    "unsupported": lambda said: said != "supported",
    "contradicted": lambda said: said == "contradicted",
}
_VERDICTS: Final[tuple[Verdict, ...]] = ("supported", "contradicted", "unverifiable")


@dataclass(frozen=True)
class Judged:
    """A labelled claim, and what was said of it."""

    labelled: LabelledClaim
    said: Verdict | None
    reason: str
    ms: float


async def judged_claims(
    claims: Sequence[LabelledClaim], embedder: TextEmbedder | None = None
) -> list[Judged]:
    """Check each claim against its passage, one after the other; without `embedder` by words."""
    judged = []
    for row in claims:
        started = time.perf_counter()
        attributor = Attributor([SourcePassage(0, row.passage)], embedder, budget=_BUDGET)
        found = await attributor.attribute(row.claim)
        ms = (time.perf_counter() - started) * 1000
        judged.append(Judged(row, found.verdict, found.reason, ms))
    return judged


def score(
    judged: Sequence[Judged], counts: Callable[[Verdict | None], bool]
) -> tuple[float, float, float]:
    """Precision, recall and F1 of the verdicts that `counts`; 0 where there is none."""
    said = [one for one in judged if counts(one.said)]
    meant = [one for one in judged if counts(one.labelled.verdict)]
    right = sum(counts(one.labelled.verdict) for one in said)
    precision, recall = right / max(1, len(said)), right / max(1, len(meant))
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


async def claims_table(embedder: TextEmbedder | None = None) -> list[tuple[Any, ...]]:
    """Rows of `COLUMNS`: unsupported and contradicted claims, by split."""
    return (await _measured(embedder))[0]


async def _measured(
    embedder: TextEmbedder | None,
) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The rows, and what stands in the JSON beside them."""
    tiers = "words" if embedder is None else "words, similarity"
    rows: list[tuple[Any, ...]] = []
    details = []
    for split in SPLITS:
        judged = await judged_claims(labelled_claims(split), embedder)
        times = [one.ms for one in judged]
        cost = percentile(times, 0.5), percentile(times, 0.95)
        for name, counts in _COUNTED.items():
            figures = score(judged, counts)
            rows.append((f"{name} claims: {tiers}", split, len(judged), *figures, *cost))
        details.append(_details(split, tiers, judged))
    return rows, details


def _details(split: str, tiers: str, judged: Sequence[Judged]) -> dict[str, Any]:
    wrong = [one for one in judged if one.said != one.labelled.verdict]
    return {
        "split": split,
        "tiers": tiers,
        "verdicts": {verdict: _figures(judged, verdict) for verdict in _VERDICTS},
        "wrong": [
            {**asdict(one.labelled), "said": one.said, "reason": one.reason} for one in wrong
        ],
    }


def _figures(judged: Sequence[Judged], verdict: Verdict) -> dict[str, float]:
    precision, recall, f1 = score(judged, lambda said: said == verdict)
    return {"precision": precision, "recall": recall, "f1": f1}


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-similarity", action="store_true", help="words alone")
    with_similarity = not parser.parse_args().no_similarity
    rows, details = asyncio.run(_report(with_similarity=with_similarity))
    report("fact_check", "Fact check without a judge", COLUMNS, rows, details=details)
    return 0


async def _report(*, with_similarity: bool) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    rows, details = await _measured(None)
    if with_similarity:
        folder = ensure_model("packaged:all-minilm-l6-v2", load_settings().cache_dir)
        embedder = MiniLmEmbedder(folder)
        await embedder.embed(["The first call loads what the others find."])
        more = await _measured(embedder)
        rows, details = rows + more[0], details + more[1]
    return rows, details


if __name__ == "__main__":
    sys.exit(main())
