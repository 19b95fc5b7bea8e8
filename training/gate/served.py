"""What the gate asks of the running application: four calls, each of one model by its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from training.examples import Message

__all__ = ["Served", "ServedAnswer"]


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """A generated answer."""

    text: str
    tokens: int
    seconds: float
    """From the request that was answered to the end of its answer; waits before it do not count."""
    cut: bool
    """Whether it ended at the limit of tokens."""


class Served(Protocol):
    """The application. Calls come from several threads at once.

    Each raises `cluster.errors.EverloopError` when it is not answered; a full service is asked
    again before, as often as the implementation is set to.
    """

    def chat(
        self,
        model: str,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        max_tokens: int,
        seed: int,
    ) -> ServedAnswer:
        """Answer a conversation, greedily."""
        ...

    def complete(
        self, model: str, prompt: Sequence[int], *, max_tokens: int, seed: int
    ) -> ServedAnswer:
        """Go on from tokens, greedily."""
        ...

    def rendered(
        self, model: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> tuple[int, ...]:
        """The tokens that a conversation becomes under the served chat template."""
        ...

    def log_probabilities(self, model: str, tokens: Sequence[int], start: int) -> tuple[float, ...]:
        """Natural logarithms of the probability of each token from `start` (at least 1) on."""
        ...
