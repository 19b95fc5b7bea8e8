"""What the gate asks of the running application: answers of a model by its name, and grades."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from training.examples import Message

__all__ = ["Graded", "Served", "ServedAnswer"]


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """A generated answer."""

    text: str
    tokens: int
    seconds: float
    """From the request that was answered to the end of its answer; waits before it do not count."""
    cut: bool
    """Whether it ended at the limit of tokens."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What a grader of the Evaluator says of answers."""

    scores: Sequence[float | None]
    """In the answers' order; None where it could not say."""
    binary: bool
    higher_is_better: bool
    judge: Mapping[str, Any] | None = None
    """The report of the judge that gave the scores, with its `standing`; None without one."""


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

    def grade(
        self,
        grader: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
        *,
        timeout_s: float,
        say: Callable[[str], None],
    ) -> Graded:
        """Score `rows`, each with an `item` and the `sample` of an answer to it.

        `say` is told how far it is, and may raise to end it.
        """
        ...
