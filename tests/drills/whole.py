"""The long drills: a raylet, which is everything on one machine, and a worker of training."""

import contextlib
import json
import os
import signal
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.drills.drill import Hit
from tests.drills.promises import Job
from tests.drills.scene import Scene
from tests.drills.traffic import MODEL
from tests.fixtures.faults import processes_of, until

__all__ = ["DeadRaylet", "DeadTrainingWorker"]

_STEPS: Final = 16
_BEGUN_S: Final = 180.0
_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class DeadRaylet:
    """The raylet or the GCS dies, and every process with it. `everloop up` brings all back."""

    name: str = "kill -9: raylet, then everloop up"
    bound_s: float = 400.0
    every: int = 4

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return ""

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        marker = random.choice(("/raylet/raylet ", "/gcs/gcs_server "))
        (victim,) = processes_of(scene.data_dir, marker)
        os.kill(victim.pid, signal.SIGKILL)
        probe = scene.ingesting()
        started: list[bool] = []

        def up_again() -> bool:
            if not started:
                done = scene.system.everloop("up", timeout_s=self.bound_s)
                assert done.returncode == 0, (
                    f"everloop up: {done.stdout[-800:]}{done.stderr[-800:]}"
                )
                started.append(True)
            return scene.answers() and probe()

        return Hit(marker.strip().rpartition("/")[2], up_again)


@dataclass(frozen=True, slots=True)
class DeadTrainingWorker:
    """A job loses its driver or one of its workers after its first steps, and ends well."""

    name: str = "kill -9: training worker"
    bound_s: float = 400.0
    every: int = 4

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return ""

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        client = scene.patient
        rows = [
            {
                "messages": [
                    {"role": "user", "content": f"{n} + {n % 7}?"},
                    {"role": "assistant", "content": f"It is {n + n % 7}."},
                ]
            }
            for n in range(random.randint(32, 48))
        ]
        lines = "\n".join(map(json.dumps, rows)).encode()
        file = client.files.create(file=("sums.jsonl", lines), purpose="fine-tune")
        training = {
            "epochs": 10,
            "max_steps": _STEPS,
            "checkpoint_every": 3,
            "adapter": {"rank": 4},
            "batch": {"examples": 2, "max_tokens": 64, "row_tokens": 64},
        }
        job = client.fine_tuning.jobs.create(
            model=MODEL, training_file=file.id, extra_body={"training": training}
        )
        scene.ledger.add(Job(job.id))

        def steps() -> int:
            events = client.fine_tuning.jobs.list_events(job.id, limit=100).data
            return sum(event.type == "metrics" for event in events)

        wanted = random.randint(1, _STEPS // 2)
        until(lambda: steps() >= wanted, _BEGUN_S)
        marker = random.choice((job.id, "RayTrainWorker"))
        victims = processes_of(scene.data_dir, marker)
        for victim in victims[-1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
        told = "driver" if marker == job.id else "worker"

        def ended() -> bool:
            return client.fine_tuning.jobs.retrieve(job.id).status in _ENDED

        return Hit(f"{told} after {wanted} steps ({len(victims)} found)", ended)
