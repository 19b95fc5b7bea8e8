"""A light engine that says words at a pace, behind the real replica.

What it stands for, vLLM, is driven for real in tests/end_to_end.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from deployments.errors import RequestError
from deployments.model.messages import ModelCall

__all__ = ["FakeAdapters", "FakeEngine"]


@dataclass
class FakeAdapters:
    """Where an engine's adapters would be. `go` can be cleared to hold loading up."""

    most: int = 100
    refusal: Exception | None = None
    loaded: list[str] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    """`+id` and `-id`, in the order of coming."""
    folders: dict[str, Path] = field(default_factory=dict)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    async def load(self, adapter_id: str, folder: Path) -> None:
        """See `AdapterEngine.load`."""
        self.begun.set()
        await self.go.wait()
        if self.refusal is not None:
            raise self.refusal
        assert adapter_id not in self.loaded
        assert len(self.loaded) < self.most, "more adapters than the engine has places"
        assert (folder / "adapter_model.safetensors").is_file()
        self.loaded.append(adapter_id)
        self.did.append(f"+{adapter_id}")
        self.folders[adapter_id] = folder

    async def unload(self, adapter_id: str) -> None:
        """See `AdapterEngine.unload`."""
        assert self.folders[adapter_id].is_dir()
        self.loaded.remove(adapter_id)
        self.did.append(f"-{adapter_id}")


@dataclass
class FakeEngine:
    """Says `words` words, `pace_s` apart. `hangs` makes it fall silent; `fails_after` raises."""

    words: int = 4
    pace_s: float = 0.0
    says: str = ""
    """Words to say instead."""
    failure: Exception | None = None
    """Raised after `fails_after` words."""
    fails_after: int = 0
    hangs: bool = False
    killed: bool = False
    created: int = 1
    running: set[str] = field(default_factory=set)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    aborted: list[str] = field(default_factory=list)

    async def run(self, call: ModelCall) -> AsyncGenerator[bytes, None]:
        """See `ChatEngine.run`."""
        self.running.add(call.request_id)
        self.begun.set()
        said = re.findall(r"\s*\S+", self.says)
        count = len(said) or int(call.body.get("words", self.words))
        sent = len(call.resume.token_ids) if call.resume is not None else 0
        words: list[str] = []
        ended = False
        try:
            for number in range(sent, count):
                if self.failure is not None and number == self.fails_after:
                    ended = True
                    raise self.failure
                await self._step()
                words.append(said[number] if said else f"{' ' if number else ''}w{number}")
                if call.body.get("stream"):
                    choice = {"index": 0, "delta": {"content": words[-1]}, "token_ids": [number]}
                    yield _event({"created": self.created, "choices": [choice]})
            usage = {"prompt_tokens": 3, "completion_tokens": sent + len(words)}
            if call.body.get("stream"):
                await self._step()
                yield _event({"choices": [], "usage": usage})
                yield b"data: [DONE]\n\n"
            else:
                message = {"role": "assistant", "content": "".join(words)}
                body = {"choices": [{"index": 0, "message": message}], "usage": usage}
                yield json.dumps(body).encode()
            ended = True
        finally:
            self.running.discard(call.request_id)
            if not ended:
                self.aborted.append(call.request_id)

    async def check(self) -> None:
        """See `ChatEngine.check`."""
        if isinstance(self.failure, RequestError) or self.failure is None:
            return
        raise self.failure

    async def answer(self) -> None:
        """See `ChatEngine.answer`."""
        await self._step()

    async def probe(self) -> None:
        """See `ChatEngine.probe`."""
        await self._step()

    def unfinished(self) -> int:
        """See `ChatEngine.unfinished`."""
        return len(self.running)

    def kill(self) -> None:
        """See `ChatEngine.kill`."""
        self.killed = True

    async def _step(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(self.pace_s)


def _event(body: dict[str, object]) -> bytes:
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
