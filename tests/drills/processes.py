"""Processes of the system, killed with kill -9, stopped for good, or stopped for seconds."""

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from tests.drills.drill import Hit
from tests.drills.scene import Probe, Scene
from tests.fixtures.faults import processes_of

__all__ = ["PROCESS_DRILLS", "Part", "ProcessDrill"]

PAUSE_S: Final = (1.0, 8.0)
How = Literal["kill -9", "stop", "pause"]
"""`stop`: SIGSTOP, until something notices it and replaces the process. `pause`: SIGSTOP, and
SIGCONT after some seconds, which nobody has to notice."""


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the system, and what works when it does."""

    name: str
    marker: str
    """In its command line, and in no other's."""
    probe: Callable[[Scene], Probe]


def _answers(scene: Scene) -> Probe:
    return scene.answers


def _embeds(scene: Scene) -> Probe:
    return scene.embeds


def _grades(scene: Scene) -> Probe:
    return scene.grades


def _ready(scene: Scene) -> Probe:
    return scene.ready


MODEL: Final = Part("model replica", "ServeReplica:everloop:Model", _answers)
ENGINE: Final = Part("model's engine", "VLLM::EngineCore", _answers)
GATEWAY: Final = Part("Gateway", "ServeReplica:everloop:Gateway", _answers)
EMBEDDER: Final = Part("Embedder", "ServeReplica:everloop:Embedder", _embeds)
RETRIEVER: Final = Part("Retriever", "ServeReplica:everloop:Retriever", Scene.searching)
INGESTOR: Final = Part("Ingestor", "ServeReplica:everloop:Ingestor", Scene.ingesting)
PARSER: Final = Part("parser", "ray::ParserWorker", Scene.ingesting)
EVALUATOR: Final = Part("Evaluator", "ServeReplica:everloop:Evaluator", _grades)
MONITOR: Final = Part("Monitor", "ServeReplica:everloop:Monitor", _ready)
TRAINER: Final = Part("Trainer", "ServeReplica:everloop:Trainer", _ready)
CONTROLLER: Final = Part("Serve controller", "ray::ServeController", _answers)
PROXY: Final = Part("Serve proxy", "ray::ProxyActor", _answers)
MILVUS: Final = Part("Milvus", "cluster.milvus_process", Scene.searching)
KEEPER: Final = Part("Milvus keeper", "ray::MilvusKeeper", Scene.searching)
RAYLET: Final = Part("raylet", "/raylet/raylet ", _answers)

REPLICAS: Final = (MODEL, GATEWAY, EMBEDDER, RETRIEVER, INGESTOR, EVALUATOR, MONITOR, TRAINER)


@dataclass(frozen=True, slots=True)
class ProcessDrill:
    """One part and what is done to its process."""

    part: Part
    how: How
    bound_s: float
    every: int

    @property
    def name(self) -> str:
        """Such as `kill -9: Embedder`."""
        return f"{self.how}: {self.part.name}"

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        if self.part is MILVUS and scene.surroundings.running_system:
            return "" if processes_of(scene.data_dir, MILVUS.marker) else "its Milvus is another's"
        return ""

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill. A part of several processes loses the one that the seed says."""
        victims = processes_of(scene.data_dir, self.part.marker)
        assert victims, f"no process {self.part.marker!r}"
        victim = random.choice(victims)
        probe = self.part.probe(scene)
        others = {process.pid for process in victims} - {victim.pid}
        if self.how == "pause":
            seconds = random.uniform(*PAUSE_S)
            _signal(victim.pid, signal.SIGSTOP)
            return Hit(
                f"pid {victim.pid} for {seconds:.1f} s",
                probe,
                lambda: _signal(victim.pid, signal.SIGCONT),
                seconds,
            )
        stopped = self.how == "stop"
        _signal(victim.pid, signal.SIGSTOP if stopped else signal.SIGKILL)

        def replaced() -> bool:
            now = {process.pid for process in processes_of(scene.data_dir, self.part.marker)}
            return victim.pid not in now and bool(now - others) and scene.ready() and probe()

        mend = (lambda: _signal(victim.pid, signal.SIGCONT)) if stopped else _nothing
        return Hit(f"pid {victim.pid}", replaced, mend)


def _nothing() -> None:
    """What was killed cannot be mended."""


def _signal(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


_KILLED: Final = (
    *((part, 120.0) for part in REPLICAS if part is not MODEL),
    *((part, 120.0) for part in (PARSER, CONTROLLER, PROXY, MILVUS, KEEPER)),
    (MODEL, 300.0),
)
_STOPPED: Final = (*REPLICAS, ENGINE, PROXY, MILVUS, KEEPER, CONTROLLER)
_PAUSED: Final = (*REPLICAS, ENGINE, PROXY, MILVUS, KEEPER, CONTROLLER, RAYLET)

PROCESS_DRILLS: Final[tuple[ProcessDrill, ...]] = (
    *(ProcessDrill(part, "kill -9", bound_s, 1) for part, bound_s in _KILLED),
    *(ProcessDrill(part, "pause", 120.0, 2) for part in _PAUSED),
    *(ProcessDrill(part, "stop", 300.0, 4) for part in _STOPPED),
)
