"""A model behind its queue: every call waits its turn, whoever makes it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from cluster.adapters import AdapterFiles
from cluster.errors import EverloopError
from cluster.sections.limits import LimitsSettings
from cluster.sections.serving import ModelSettings
from cluster.tenancy import acting_project
from deployments.errors import RequestError
from deployments.gateway.closing import close_parts
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.token_estimate import TokenEstimate, estimate_tokens
from deployments.limits.lease import current_lease, setting_aside
from deployments.limits.model_queue import Capacity, ModelQueue
from deployments.model.messages import ModelCall, ModelLoad, Part, Usage
from deployments.ports import ChatModel

__all__ = ["QueuedModel", "queue_of", "queues_of", "replica_tokens"]

_LOOK_S: Final = 1.0


class QueuedModel:
    """A ChatModel. While calls wait, it asks once a second how many replicas there are by now.

    What a call used counts on the lease that it is made under.
    """

    def __init__(
        self,
        model: ChatModel,
        queue: ModelQueue,
        *,
        model_id: str | None = None,
        counter: TokenCounter | None = None,
        answer_tokens: int = 256,
        context_tokens: int | None = None,
        replica_tokens: float = float("inf"),
        gateways: int = 1,
    ) -> None:
        """`model_id`: of the served model, whose adapters cost as it does."""
        self.queue: Final = queue
        self._model_id: Final = model_id
        self._model: Final = model
        self._counter: Final = counter
        self._answer_tokens: Final = answer_tokens
        self._context_tokens: Final = context_tokens
        self._replica_tokens: Final = replica_tokens
        self._gateways: Final = gateways
        self._looked_at = -_LOOK_S
        self._look: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """Users' calls that have begun and not ended, those that wait included."""
        return self.queue.live

    async def generate(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        """Run `call` once it is its turn; see `ChatModel`. Raises Overloaded before.

        Of one that was broken off the prompt counts as estimated, and the tokens that were sent.
        """
        due = time.monotonic() + call.deadline_s
        tokens = estimate_tokens(
            call.body, self._counter, self._answer_tokens, self._context_tokens
        )
        lease = current_lease()
        if self.queue.waiting:
            self._look_soon()
        name = str(call.body.get("model") or self._model_id or "")
        with _metered(tokens, name, self._model_id) as metered:
            async with self.queue.place(
                acting_project(),
                sum(tokens),
                call.deadline_s,
                weight=1 if lease is None else lease.weight,
                background=call.background,
            ) as place:
                left_s = max(0.0, due - time.monotonic())
                parts = self._model.generate(replace(call, deadline_s=left_s))
                metered.asked = True
                try:
                    async for part in parts:
                        place.answered = part.usage is not None
                        metered.take(part)
                        yield part
                except RequestError:
                    metered.asked = metered.began  # else the model refused, and did nothing
                    raise
                finally:
                    await close_parts(parts)

    async def prepare(self, adapter: AdapterFiles) -> int:
        """See `ChatModel.prepare`."""
        return await self._model.prepare(adapter)

    async def forget(self, adapter_id: str) -> int:
        """See `ChatModel.forget`."""
        return await self._model.forget(adapter_id)

    async def load(self) -> ModelLoad:
        """See `ChatModel.load`."""
        return await self._model.load()

    def _look_soon(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_S and (self._look is None or self._look.done()):
            self._looked_at = now
            self._look = asyncio.get_running_loop().create_task(self._resize())

    async def _resize(self) -> None:
        with suppress(EverloopError):  # then the places stay as they were
            load = await self._model.load()
            if load.replicas:
                calls = max(1, load.capacity // self._gateways)
                tokens = self._replica_tokens * load.replicas / self._gateways
                self.queue.resize(Capacity(calls, tokens))


class _Metered:
    """What one call uses, as far as the model tells it."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._sent = 0
        self.asked = False
        """Whether a model works, or has worked, on it."""
        self.began = False

    def take(self, part: Part) -> None:
        self.began = True
        self._sent += len(part.token_ids)
        self._usage = part.usage or self._usage

    def used(self, estimated: int) -> tuple[int, int]:
        """Tokens of the prompt, else as `estimated`, and of the answer."""
        if self._usage is not None:
            return self._usage.prompt_tokens, self._usage.completion_tokens
        return (estimated, self._sent) if self.asked else (0, 0)


@contextmanager
def _metered(tokens: TokenEstimate, name: str, base: str | None) -> Iterator[_Metered]:
    with setting_aside(*tokens, model=name, base=base) as reserved:
        metered = _Metered()
        try:
            yield metered
        finally:
            reserved.used(*metered.used(reserved.prompt_tokens))


def queue_of(model: ModelSettings, limits: LimitsSettings, gateways: int) -> ModelQueue:
    """The queue of one of `gateways` gateway replicas, which has its share of the places."""
    replicas = max(1, model.min_replicas)
    calls = max(1, model.max_ongoing_requests * replicas // gateways)
    return ModelQueue(
        Capacity(calls, replica_tokens(model) * replicas / gateways),
        max_waiting=limits.max_waiting,
        max_waiting_per_project=limits.max_waiting_per_project,
    )


def replica_tokens(model: ModelSettings) -> int:
    """Tokens that a replica holds at once."""
    return model.capacity_tokens or model.max_context_tokens * model.max_ongoing_requests


def queues_of(models: Mapping[str, ChatModel]) -> dict[str, ModelQueue]:
    """The queues of those models that have one."""
    return {name: model.queue for name, model in models.items() if isinstance(model, QueuedModel)}
