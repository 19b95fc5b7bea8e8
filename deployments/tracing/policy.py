"""Which traces are kept. A trace that is not is counted as sampled out, never as lost."""

import hashlib
from dataclasses import dataclass
from typing import Final

from deployments.tracing.draft import TraceDraft

__all__ = ["KEEP_HEADER", "TracePolicy", "is_sampled"]

KEEP_HEADER: Final = "x-everloop-trace"
"""A request header; with the value `keep` the trace is kept whatever the sample rate says."""
_FIRST_ERROR: Final = 400


@dataclass(frozen=True, slots=True)
class TracePolicy:
    """Keeps a share of the traces, and all of those that somebody will look for."""

    sample_rate: float = 1.0
    slow_ms: float = 10_000.0

    def keeps(self, draft: TraceDraft) -> bool:
        """Whether this finished trace is kept."""
        return (
            is_sampled(draft.id, self.sample_rate)
            or draft.keep
            or draft.status >= _FIRST_ERROR
            or bool(draft.refused)
            or draft.experiment_id is not None
            or draft.shadow_of is not None
            or bool(draft.body.get("evaluate"))  # its scores come later, to its row
            or (draft.duration_ms or 0.0) > self.slow_ms
        )


def is_sampled(trace_id: str, rate: float) -> bool:
    """Whether a share of `rate` holds this trace: the same answer for the same one, whoever asks.

    A smaller share is a part of a larger one.
    """
    if rate >= 1:
        return True
    drawn = int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8], "big")
    return drawn < rate * 2**64
