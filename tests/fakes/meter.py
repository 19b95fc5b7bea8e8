"""A meter that remembers."""

from dataclasses import dataclass, field

from deployments.limits.lease import Lease
from deployments.limits.used import Used

__all__ = ["RememberingMeter"]


@dataclass
class RememberingMeter:
    """Every token costs `price`, and twice as much where no served model is below."""

    price: float = 0.0
    found: list[tuple[str, str, int, int, float]] = field(default_factory=list)
    """Key, model, tokens of prompt and answer, and cost."""

    def cost(self, model: str, base: str | None, prompt_tokens: int, answer_tokens: int) -> float:
        """See `deployments.limits.lease.Meter`."""
        del model
        return self.price * (prompt_tokens + answer_tokens) * (1 if base else 2)

    def count(self, lease: Lease, model: str, used: Used) -> None:
        """See `deployments.limits.lease.Meter`."""
        assert used.requests == 0
        told = (lease.key_id, model, used.prompt_tokens, used.completion_tokens, used.cost)
        self.found.append(told)
