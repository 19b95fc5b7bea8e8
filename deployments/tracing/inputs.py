"""What a client sent, as its trace keeps it: messages and options, cut where they are long."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["InputBudget", "request_input"]

_ELSEWHERE: Final = frozenset({"model", "messages", "input", "metadata", "stream_options"})
_WHO: Final = frozenset({"user", "safety_identifier", "prompt_cache_key"})
"""Never kept as they were sent; the trace has a digest."""
_DEEPEST: Final = 16


class InputBudget:
    """Characters that are still to be kept."""

    def __init__(self, characters: int) -> None:
        self._left = characters
        self.cut = 0
        """Characters that were not kept."""

    def taken(self, value: Any, depth: int = 0) -> Any:
        """`value`, a JSON tree, with its texts cut where the budget ends."""
        if isinstance(value, str):
            kept = value[: self._left]
            self._left -= len(kept)
            self.cut += len(value) - len(kept)
            return kept
        if depth >= _DEEPEST:
            return None
        if isinstance(value, Mapping):
            return {str(key)[:64]: self.taken(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.taken(item, depth + 1) for item in value]
        return value


def request_input(
    messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any], characters: int
) -> dict[str, Any]:
    """Make a trace's `input`: `messages`, `options`, and `cut_characters` where some are missing.

    The last message comes first to the budget, then the ones before it, then the options. Takes
    time by the number of messages, not by their length: it runs while the client waits.
    """
    budget = InputBudget(characters)
    kept = [budget.taken(message) for message in reversed(messages)][::-1]
    left = {
        name: value
        for name, value in options.items()
        if name not in _ELSEWHERE and name not in _WHO and value is not None
    }
    made: dict[str, Any] = {"messages": kept, "options": budget.taken(left)}
    if budget.cut:
        made["cut_characters"] = budget.cut
    return made
