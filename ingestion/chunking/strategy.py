"""How a document is to be cut: OpenAI's `chunking_strategy`, and ours in the same shape."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ingestion.errors import IngestionError

__all__ = [
    "AutoStrategy",
    "ByTitleStrategy",
    "ChunkingStrategy",
    "SemanticStrategy",
    "SentenceStrategy",
    "StaticStrategy",
    "StrategyError",
    "parse_strategy",
]

_MOST_TOKENS = 4096
_ROOT = "chunking_strategy"


class StrategyError(IngestionError, ValueError):
    """A chunking strategy is not valid. `param` is the path of the field in the request."""

    def __init__(self, message: str, *, param: str, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.param = param

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes."""
        return (_strategy_error, (self.message, self.param, self.fix))


def _strategy_error(message: str, param: str, fix: str) -> StrategyError:
    return StrategyError(message, param=param, fix=fix)


@dataclass(frozen=True, slots=True)
class AutoStrategy:
    """By structure: sections stay apart, pages too, sentences whole. Fits MiniLM's 256 tokens."""

    type: ClassVar[str] = "auto"
    max_chunk_size_tokens: int = 220
    chunk_overlap_tokens: int = 40


@dataclass(frozen=True, slots=True)
class StaticStrategy:
    """By tokens alone, as OpenAI does. The defaults are OpenAI's."""

    type: ClassVar[str] = "static"
    least_tokens: ClassVar[int] = 100
    max_chunk_size_tokens: int = 800
    chunk_overlap_tokens: int = 400


@dataclass(frozen=True, slots=True)
class SentenceStrategy:
    """Whole sentences up to a size, across sections."""

    type: ClassVar[str] = "sentence"
    least_tokens: ClassVar[int] = 32
    max_chunk_size_tokens: int = 220
    chunk_overlap_tokens: int = 40


@dataclass(frozen=True, slots=True)
class ByTitleStrategy:
    """Whole sentences up to a size, never across a title."""

    type: ClassVar[str] = "by_title"
    least_tokens: ClassVar[int] = 32
    max_chunk_size_tokens: int = 220
    chunk_overlap_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SemanticStrategy:
    """Cut where the meaning turns: at the largest distances between neighbouring sentences."""

    type: ClassVar[str] = "semantic"
    least_tokens: ClassVar[int] = 32
    max_chunk_size_tokens: int = 220
    breakpoint_percentile: int = 90


_WithSize = StaticStrategy | SentenceStrategy | ByTitleStrategy | SemanticStrategy
ChunkingStrategy = AutoStrategy | _WithSize

_STRATEGIES: dict[str, type[_WithSize]] = {
    strategy.type: strategy
    for strategy in (StaticStrategy, SentenceStrategy, ByTitleStrategy, SemanticStrategy)
}


def parse_strategy(value: Mapping[str, Any] | None) -> ChunkingStrategy:
    """Return the strategy that an API request names; None is `auto`.

    Raises `StrategyError` with the path of the field, its value, and what is allowed.
    """
    if value is None:
        return AutoStrategy()
    if not isinstance(value, Mapping):
        raise StrategyError(f"{_ROOT} must be an object, not {value!r}.", param=_ROOT)
    kind = value.get("type")
    if kind != AutoStrategy.type and kind not in _STRATEGIES:
        allowed = ", ".join(repr(name) for name in (AutoStrategy.type, *_STRATEGIES))
        raise StrategyError(
            f"{_ROOT}.type is {kind!r}.", param=f"{_ROOT}.type", fix=f"Allowed: {allowed}."
        )
    if unknown := sorted(set(value) - {"type", kind}):
        raise _unknown(f"{_ROOT}.{unknown[0]}", ["type", str(kind)])
    if kind == AutoStrategy.type:
        if value.get("auto"):
            raise _unknown(f"{_ROOT}.auto", ["type"])
        return AutoStrategy()
    return _with_size(_STRATEGIES[kind], value.get(kind))


def _with_size(strategy: type[_WithSize], given: Any) -> _WithSize:
    path = f"{_ROOT}.{strategy.type}"
    if given is None and strategy is not StaticStrategy:
        given = {}
    if not isinstance(given, Mapping):
        raise StrategyError(f"{path} must be an object, not {given!r}.", param=path)
    values = dict[str, int](asdict(strategy()))
    if unknown := sorted(set(given) - set(values)):
        raise _unknown(f"{path}.{unknown[0]}", list(values))
    limits = {
        "max_chunk_size_tokens": (strategy.least_tokens, _MOST_TOKENS),
        "breakpoint_percentile": (1, 99),
    }
    for name in values:
        if name in limits and name in given:
            values[name] = _integer(f"{path}.{name}", given[name], *limits[name])
    if "chunk_overlap_tokens" in values:
        half = values["max_chunk_size_tokens"] // 2
        overlap = given.get("chunk_overlap_tokens", min(values["chunk_overlap_tokens"], half))
        values["chunk_overlap_tokens"] = _integer(f"{path}.chunk_overlap_tokens", overlap, 0, half)
    return strategy(**values)


def _integer(path: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise StrategyError(
            f"{path} is {value!r}.", param=path, fix=f"Allowed: an integer from {least} to {most}."
        )
    return value


def _unknown(path: str, allowed: list[str]) -> StrategyError:
    return StrategyError(
        f"{path} is not a field of this strategy.",
        param=path,
        fix=f"Allowed: {', '.join(allowed)}.",
    )
