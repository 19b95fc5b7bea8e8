"""Settings of what keeps work from being lost or done twice."""

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["IdempotencySettings"]


class IdempotencySettings(Section):
    """Requests that name themselves with `Idempotency-Key`."""

    keep_hours: float = Field(default=24.0, gt=0)
    """So long an answer is given again to the same key."""
    max_keys: int = Field(default=100_000, ge=100)
    """Of one project; beyond it the oldest answered ones are forgotten, within a minute."""
    wait_s: float = Field(default=20.0, ge=0)
    """So long a request waits for an earlier one of its key, before it is told to come again."""
    lease_s: int = Field(default=15, ge=3)
    """After so long without a sign of life from the gateway that carries it out, a request may be
    carried out by another one."""
