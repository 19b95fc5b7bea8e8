"""Replaces actors that hang and that nobody else asks: Serve's controller, the keeper of Milvus.

Serve asks its replicas and proxies, and Ray restarts whoever dies. An actor that is there and does
not answer, because it was stopped or waits for ever, is found by asking it. The controller in turn
asks the Monitor.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cluster.milvus import KEEPER_NAME, NAMESPACE

__all__ = ["CONTROLLER", "WATCHED", "NamedActor", "SilentActorDuty", "Watched"]

_log = logging.getLogger(__name__)
_ANSWER_S: Final = 10.0
SILENT_S: Final = 60.0
"""On a busy machine an actor may be slow for seconds, not for a minute."""


class Watched(Protocol):
    """Something that answers when it is asked, and can be replaced."""

    @property
    def name(self) -> str:
        """What logs call it."""
        ...

    async def ask(self) -> None:
        """Return once it has answered. Raises ValueError: there is none; or what Ray raises."""
        ...

    async def replace(self) -> None:
        """End its process; another takes its place."""
        ...


@dataclass(frozen=True, slots=True)
class NamedActor:
    """An actor, and a call without arguments that it answers at once."""

    name: str
    namespace: str
    call: str

    async def ask(self) -> None:
        """See Watched."""
        await getattr(await self._handle(), self.call).remote()

    async def replace(self) -> None:
        """See Watched. The raylet sends SIGKILL to one that does not hear; Ray starts it again."""
        import ray

        await asyncio.to_thread(ray.kill, await self._handle(), no_restart=False)

    async def _handle(self) -> Any:
        import ray

        return await asyncio.to_thread(ray.get_actor, self.name, self.namespace)


CONTROLLER: Final = NamedActor("SERVE_CONTROLLER_ACTOR", "serve", "check_alive")
WATCHED: Final = (CONTROLLER, NamedActor(KEEPER_NAME, NAMESPACE, "state"))


class SilentActorDuty:
    """Asks each in turn; see `deployments.monitor.duty.Duty`."""

    name: Final = "silent_actors"

    def __init__(
        self,
        actors: Sequence[Watched] = WATCHED,
        *,
        period_s: float = 10.0,
        answer_s: float = _ANSWER_S,
        silent_s: float = SILENT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.period_s: Final = period_s
        self._answer_s: Final = answer_s
        self._silent_s: Final = silent_s
        self._clock: Final = clock
        self._heard: Final = dict.fromkeys(actors, clock())
        """When each last answered, or was found to be gone, in which case Ray sees to it."""

    async def turn(self) -> None:
        """Ask all of them at once; replace those that have been silent for too long."""
        await asyncio.gather(*(self._look_at(actor) for actor in self._heard))

    async def _look_at(self, actor: Watched) -> None:
        from ray.exceptions import RayError

        try:
            async with asyncio.timeout(self._answer_s):
                await actor.ask()
        except TimeoutError:
            silent_s = self._clock() - self._heard[actor]
            if silent_s < self._silent_s:
                return
            _log.warning("%s has not answered for %.0f s: it is replaced", actor.name, silent_s)
            await actor.replace()
        except (RayError, ValueError):  # it is gone, or comes back already
            pass
        self._heard[actor] = self._clock()
