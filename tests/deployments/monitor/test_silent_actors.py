"""An actor that does not answer is replaced; one that is slow or gone is left alone."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from deployments.monitor.silent_actors import CONTROLLER, NamedActor, SilentActorDuty
from tests.fixtures.ray_cluster import SharedRay


@dataclass(eq=False)
class Scripted:
    """Hangs while told to, or raises."""

    name: str = "scripted"
    hangs: bool = False
    error: Exception | None = None
    replaced: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=lambda: [0.0])

    async def ask(self) -> None:
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()

    async def replace(self) -> None:
        self.replaced.append(self.clock[0])


def duty(actor: Scripted) -> SilentActorDuty:
    return SilentActorDuty([actor], answer_s=0.01, silent_s=60, clock=lambda: actor.clock[0])


async def test_an_actor_is_replaced_after_a_minute_of_silence_and_then_has_another_minute() -> None:
    actor = Scripted(hangs=True)
    watch = duty(actor)
    for at in (10.0, 59.0, 61.0, 70.0, 120.0, 122.0):
        actor.clock[0] = at
        await watch.turn()
    assert actor.replaced == [61.0, 122.0]


async def test_an_answer_ends_the_silence() -> None:
    actor = Scripted(hangs=True)
    watch = duty(actor)
    for at, hangs in ((40.0, True), (50.0, False), (100.0, True), (109.0, True)):
        actor.clock[0], actor.hangs = at, hangs
        await watch.turn()
    assert actor.replaced == []


@pytest.mark.parametrize("error", [ValueError("no such actor")])
async def test_an_actor_that_is_gone_is_rays_to_start(error: Exception) -> None:
    actor = Scripted(error=error)
    watch = duty(actor)
    for at in (30.0, 90.0):
        actor.clock[0] = at
        await watch.turn()
    assert actor.replaced == []


class Stoppable:
    """Says its process id."""

    def pid(self) -> int:
        return os.getpid()


@pytest.fixture(scope="module")
def named(shared_ray: SharedRay) -> Iterator[NamedActor]:
    import ray
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with shared_ray.joined("silent"):
        actor = ray.remote(Stoppable).options(name="it", num_cpus=0, max_restarts=-1).remote()
        ray.get(actor.pid.remote())
        yield NamedActor("it", "silent", "pid")


@pytest.mark.integration
async def test_a_stopped_actor_is_killed_and_comes_back_in_another_process(
    named: NamedActor,
) -> None:
    import ray

    handle = ray.get_actor(named.name, named.namespace)
    first = await handle.pid.remote()
    watch = SilentActorDuty([named], answer_s=1, silent_s=2)
    await watch.turn()
    os.kill(first, signal.SIGSTOP)
    try:
        async with asyncio.timeout(120):
            while True:
                await watch.turn()
                try:
                    second = await asyncio.wait_for(handle.pid.remote(), 5)
                    break
                except (TimeoutError, ray.exceptions.RayError):
                    continue
        assert second != first
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGCONT)


def test_the_names_are_those_of_ray_serve() -> None:
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE
    from ray.serve._private.controller import ServeController

    assert (CONTROLLER.name, CONTROLLER.namespace) == (SERVE_CONTROLLER_NAME, SERVE_NAMESPACE)
    assert hasattr(ServeController, CONTROLLER.call)
