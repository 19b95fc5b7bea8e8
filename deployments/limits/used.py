"""What was used."""

from dataclasses import dataclass

__all__ = ["Used"]


@dataclass(frozen=True, slots=True)
class Used:
    """Requests, tokens, and what they cost in the currency of `tracing.prices`."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Of prompts and answers together."""
        return self.prompt_tokens + self.completion_tokens

    def __sub__(self, other: "Used") -> "Used":
        """Without the other."""
        return Used(
            self.requests - other.requests,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cost - other.cost,
        )

    def __add__(self, other: "Used") -> "Used":
        """Both together."""
        return Used(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )
