"""What became of traces."""

from dataclasses import dataclass

__all__ = ["TraceCounts"]


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """What became of a replica's traces since it started."""

    written: int = 0
    dropped: int = 0
    """Lost."""
    waiting: int = 0
    sampled_out: int = 0
    """Not kept, as the policy wants it."""
    exported: int = 0
    """Handed to the OpenTelemetry collector."""
    export_dropped: int = 0
    """Not handed to it: it was down, or slower than the traces came."""
