"""A model's replicas behind a handle of Serve's shape, each of which can be made to die or hang.

What it stands for, replicas on a real Serve that are killed and stopped, is driven in
tests/deployments/model/test_lost_replicas.py.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import RayActorError

from deployments.model.messages import ModelCall, Part
from deployments.model.serving import ChatEngine, ChatServing

__all__ = ["FakeReplicas", "Fate"]


@dataclass(frozen=True)
class Fate:
    """What becomes of a replica that is asked: after `messages` of them it meets its end."""

    messages: int | None = None
    """None for never."""
    end: Exception | None = field(default_factory=RayActorError)
    """What the caller sees; None for silence."""


@dataclass
class FakeReplicas:
    """A Serve handle. The n-th call meets the n-th fate; those after the last one meet none."""

    engine: ChatEngine
    fates: list[Fate] = field(default_factory=list)
    calls: list[ModelCall] = field(default_factory=list)
    cancelled: int = 0
    beat_s: float = 1.0

    def options(self, **_: Any) -> "FakeReplicas":
        return self

    @property
    def generate(self) -> "FakeReplicas":
        return self

    def remote(self, call: ModelCall) -> "_Response":
        fate = self.fates[len(self.calls)] if len(self.calls) < len(self.fates) else Fate()
        self.calls.append(call)
        return _Response(self, call, fate)


class _Response:
    def __init__(self, replicas: FakeReplicas, call: ModelCall, fate: Fate) -> None:
        self._replicas = replicas
        self._parts = self._answer(call, fate)

    def __aiter__(self) -> "_Response":
        return self

    async def __anext__(self) -> Part:
        return await anext(self._parts)

    def cancel(self) -> None:
        self._replicas.cancelled += 1

    async def _answer(self, call: ModelCall, fate: Fate) -> AsyncGenerator[Part, None]:
        serving = ChatServing(self._replicas.engine, 0, beat_s=self._replicas.beat_s)
        sent = 0
        async with aclosing(serving.generate(call)) as parts:
            async for part in parts:
                if sent == fate.messages:
                    break
                sent += 1
                yield part
            else:
                return
        if fate.end is None:
            await asyncio.Event().wait()
        else:
            raise fate.end
