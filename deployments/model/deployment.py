"""One chat model as a Serve deployment: `ray.serve.llm`'s server behind what the gateway calls."""

import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.adapters import AdapterFiles
from cluster.settings import ModelSettings
from cluster.storage import ByteStore
from deployments.lifetime import with_version
from deployments.model.adapter_cache import LONGEST_WAIT_S, AdapterCache, AdapterEngine
from deployments.model.engine_config import deployment_name, engine_arguments, llm_config
from deployments.model.lifeline import end_replica, kill_children, tie_engine_to_replica
from deployments.model.messages import ModelCall, Part
from deployments.model.replica_folder import ReplicaFolder
from deployments.model.serving import ChatEngine, ChatServing, ReplicaStats
from deployments.model.watchdog import Watchdog

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.llm import LLMConfig

__all__ = ["AdapterPlace", "ModelReplica", "ReplicaLimits", "build_model_deployment"]


_SCALING: Final = {
    "min_replicas",
    "max_replicas",
    "target_ongoing_requests",
    "max_queued_requests",
    "surge",
}


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """What a replica keeps to."""

    max_tokens: int
    """Prompt and answer together."""
    max_ongoing_requests: int
    """Calls at once, and the largest `n` of one."""
    coalesce_ms: float
    stall_timeout_s: float
    chat_template: str | None = None
    """The template the engine was given, None for the model's own."""
    max_adapters: int = 0
    """Adapters that the engine holds at once; 0 where it was started without."""
    max_adapter_rank: int = 0


@dataclass(frozen=True, slots=True)
class AdapterPlace:
    """Where replicas find adapters, and where they keep those in use."""

    store_url: str
    store_options: dict[str, Any] = field(repr=False)
    folder: Path
    """On each node; every replica makes a folder of its own in it."""


class ModelReplica:
    """The methods of a replica, over any engine; `end` is called once that is of no use."""

    def __init__(
        self,
        engine: ChatEngine,
        limits: ReplicaLimits,
        adapters: AdapterCache | None = None,
        *,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._limits = limits
        self._adapters = adapters
        self._serving = ChatServing(engine, limits.coalesce_ms, adapters)
        self._watchdog = Watchdog(
            engine, lambda: self._serving.stats().running, limits.stall_timeout_s, end=end
        )

    async def generate(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        """See `deployments.ports.ChatModel`."""
        async with aclosing(self._serving.generate(call)) as parts:
            async for part in parts:
                yield part

    async def stats(self) -> ReplicaStats:
        """What this replica has done and holds."""
        return replace(
            self._serving.stats(),
            capacity=self._limits.max_ongoing_requests,
            adapters=self._adapters.loaded() if self._adapters is not None else (),
        )

    async def prepare(self, adapter: AdapterFiles) -> None:
        """Load `adapter` now; see `AdapterCache.use` for what it raises."""
        async with self._serving.adapter(adapter, LONGEST_WAIT_S):
            pass

    async def forget(self, adapter_id: str) -> None:
        """Drop a deleted adapter; see `AdapterCache.forget`."""
        if self._adapters is not None:
            self._adapters.forget(adapter_id)

    async def check_health(self) -> None:
        """Raise when the engine is dead or hangs; Serve then replaces the replica."""
        await self._watchdog.check()


def adapter_cache(
    engine: AdapterEngine, place: AdapterPlace, limits: ReplicaLimits
) -> AdapterCache | None:
    """The adapters of one replica. None where the engine takes none."""
    if not limits.max_adapters:
        return None
    return AdapterCache(
        engine,
        ByteStore(place.store_url, place.store_options),
        ReplicaFolder(place.folder),
        most=limits.max_adapters,
        max_rank=limits.max_adapter_rank,
    )


def build_model_deployment(
    settings: ModelSettings, path: Path, adapters: AdapterPlace, longest_call_s: float
) -> "Application":
    """Bind the model whose weights are in the folder `path`.

    An update of the application restarts its replicas only where it changes something of theirs.
    """
    from ray.serve.llm import build_llm_deployment

    limits = ReplicaLimits(
        max_tokens=settings.max_context_tokens,
        max_ongoing_requests=settings.max_ongoing_requests,
        coalesce_ms=settings.coalesce_ms,
        stall_timeout_s=settings.stall_timeout_s,
        chat_template=engine_arguments(settings, path).get("chat_template"),
        max_adapters=settings.max_adapters,
        max_adapter_rank=settings.max_adapter_rank,
    )
    application = build_llm_deployment(
        llm_config(settings, path, longest_call_s),
        bind_kwargs={"limits": limits, "adapters": adapters},
        override_serve_options={"name": deployment_name(settings.id)},
        deployment_cls=_server_class(),
    )
    return with_version(application, model_version(settings, path, adapters))


def model_version(settings: ModelSettings, path: Path, adapters: AdapterPlace) -> str:
    """A name for what a replica is made of; Serve restarts replicas of another one.

    How many there are and how they scale does not belong to it.
    """
    made = settings.model_dump(mode="json", exclude=_SCALING)
    files = sorted((file.name, *_stamp(file)) for file in path.iterdir() if file.is_file())
    template = settings.chat_template and _stamp(Path(settings.chat_template))
    parts = [made, str(path), files, template, str(asdict(adapters)), version("everloop")]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _server_class() -> type[Any]:
    """The Serve class. A function, because its base imports vLLM."""
    from ray.serve.llm.deployment import LLMServer

    class Model(LLMServer, ModelReplica):  # type: ignore[misc]
        """One replica of a model on vLLM."""

        async def __init__(  # type: ignore[misc]  # Serve awaits it
            self, llm_config: "LLMConfig", *, limits: ReplicaLimits, adapters: AdapterPlace
        ) -> None:
            from deployments.model.vllm_adapters import VllmAdapters
            from deployments.model.vllm_engine import VllmChatEngine

            tie_engine_to_replica()
            await LLMServer.__init__(self, llm_config)
            engine = VllmChatEngine(
                self.engine,
                limits.max_tokens,
                limits.max_ongoing_requests,
                limits.chat_template,
            )
            cache = adapter_cache(VllmAdapters(self.engine), adapters, limits)
            ModelReplica.__init__(self, engine, limits, cache, end=end_replica)

        async def _start_engine(self) -> None:
            # The base reports each model to a telemetry actor, a process of 400 MB.
            await self.engine.start()

        generate = ModelReplica.generate
        stats = ModelReplica.stats
        prepare = ModelReplica.prepare
        forget = ModelReplica.forget
        check_health = ModelReplica.check_health

        def __del__(self) -> None:
            kill_children()

    return Model
