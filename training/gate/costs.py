"""What the candidate costs: how long its answers take, and how much a replica loads."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Final

from training.gate.evidence import Latency, Size, Timings
from training.gate.served import ServedAnswer

__all__ = ["measure_latency", "measure_size"]

_WEIGHTS: Final = ("*.safetensors", "*.bin")


def measure_latency(
    candidate: Sequence[ServedAnswer], champion: Sequence[ServedAnswer]
) -> Latency | None:
    """Compare the sides' answers to the same items; None without any."""
    if not candidate:
        return None
    ours, theirs = _timings(candidate), _timings(champion)
    return Latency(
        requests=len(candidate),
        candidate=ours,
        champion=theirs,
        median_ratio=_ratio(ours.median_s, theirs.median_s),
        p95_ratio=_ratio(ours.p95_s, theirs.p95_s),
    )


def measure_size(adapter_folder: Path | None) -> Size:
    """Bytes of the adapter's weights; 0 where there is none."""
    if adapter_folder is None:
        return Size(adapter_bytes=0)
    files = [path for pattern in _WEIGHTS for path in adapter_folder.glob(pattern)]
    return Size(adapter_bytes=sum(path.stat().st_size for path in files))


def _timings(answers: Sequence[ServedAnswer]) -> Timings:
    ordered = sorted(answer.seconds for answer in answers)
    return Timings(
        median_s=median(ordered),
        p95_s=ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        tokens=fmean(answer.tokens for answer in answers),
        cut=sum(answer.cut for answer in answers),
    )


def _ratio(ours: float, theirs: float) -> float:
    """At least a microsecond each: no clock tells less."""
    return max(ours, 1e-6) / max(theirs, 1e-6)
