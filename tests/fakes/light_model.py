"""A model's replica over a light engine, to be deployed on a real Serve."""

import os
from typing import Any

from deployments.model.deployment import AdapterPlace, ModelReplica, ReplicaLimits, adapter_cache
from deployments.model.engine_config import serve_options
from tests.fakes import engine as fake_engine

__all__ = ["LightModel", "light_model"]


class LightModel(ModelReplica):
    """The replica over an engine that says a word every 20 ms, and holds adapters."""

    async def __init__(  # type: ignore[misc]
        self, stall_timeout_s: float, place: AdapterPlace | None = None
    ) -> None:
        self._engine = fake_engine.FakeEngine(pace_s=0.02)
        limits = ReplicaLimits(4096, 8, 500, stall_timeout_s, None, 2, 16)
        adapters = fake_engine.FakeAdapters(2)
        cache = adapter_cache(adapters, place, limits) if place is not None else None
        super().__init__(self._engine, limits, cache)

    async def hang(self) -> int:
        """Fall silent; returns the process id."""
        self._engine.hangs = True
        return os.getpid()

    async def pid(self) -> int:
        """The replica's process id."""
        return os.getpid()

    async def load(self) -> tuple[int, int]:
        """Process id and calls in flight."""
        return os.getpid(), self._serving.stats().running


def light_model(name: str, settings: Any, place: AdapterPlace | None = None, **more: Any) -> Any:
    """The application of a light model with the real options of one; `more` has the last word."""
    from ray import serve

    options = serve_options(settings) | {"health_check_period_s": 0.5}
    if "autoscaling_config" in options:
        options["autoscaling_config"] |= {"upscale_delay_s": 0.5}
    deployment = serve.deployment(
        LightModel, name=name, ray_actor_options={"num_cpus": 0.1}, **options | more
    )
    return deployment.bind(settings.stall_timeout_s, place)
