"""What graders may ask of the running system, as protocols; tests pass small fakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cluster.settings import JudgeBar

__all__ = ["ChatCaller", "TextVectors", "Toolbox", "VerdictCache"]


class TextVectors(Protocol):
    """The Embedder, for work that may wait."""

    async def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit-length vectors, one per text."""
        ...


class ChatCaller(Protocol):
    """A model behind the gateway or outside, over OpenAI's chat API."""

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer `body` of POST /v1/chat/completions, as plain JSON.

        Raises `cluster.errors.ApiError` and `UnreachableError`.
        """
        ...


class VerdictCache(Protocol):
    """What judges said before, by a digest of all that they were asked."""

    async def get(self, key: str) -> Mapping[str, Any] | None:
        """Return what was kept under `key`."""
        ...

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep `value`, a JSON object."""
        ...


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The collaborators of one run."""

    embedder: TextVectors
    models: ChatCaller
    cache: VerdictCache
    encoder: Path | None = None
    """Folder of the local encoder that BERTScore reads; None: it is refused by name."""
    judge_bar: JudgeBar = field(default_factory=JudgeBar)
    """What a judge must show before its verdicts may decide a promotion."""
