"""A clock of the system that can be set, and the drill that sets it."""

import os
import shutil
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.drills.drill import Hit
from tests.drills.processes import INGESTOR
from tests.drills.scene import Scene
from tests.fixtures.faults import processes_of

__all__ = ["ClockJump", "ShiftedClock"]

_SOURCE: Final = Path(__file__).with_name("clock.c")
_JUMPS_S: Final = (30, 600, 3600, 86_400, 7 * 86_400)
_HOLDS_S: Final = (4.0, 12.0)
_SECONDS: Final = struct.Struct("q")


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """The time of day as Python's code in the system reads it; see clock.c."""

    library: Path
    file: Path

    @classmethod
    def build(cls, folder: Path) -> "ShiftedClock | None":
        """Compile it into `folder`; None where there is no compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            return None
        clock = cls(folder / "clock.so", folder / "clock")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(clock.library), str(_SOURCE)]
        done = subprocess.run([*command, "-ldl"], capture_output=True, check=False)
        if done.returncode:
            return None
        clock.file.write_bytes(_SECONDS.pack(0))
        return clock

    @property
    def environment(self) -> dict[str, str]:
        """What the system's processes need, to read it."""
        return {"LD_PRELOAD": str(self.library), "DRILL_CLOCK": str(self.file)}

    def set(self, seconds: int) -> None:
        """Let it differ by so much from the machine's, from now on."""
        with self.file.open("r+b") as file:  # never another file: processes have mapped this one
            file.write(_SECONDS.pack(seconds))


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The clock jumps, the Ingestor dies with leases in its hands, and the clock jumps back."""

    name: str = "clock jump, and kill -9: Ingestor"
    bound_s: float = 90.0
    every: int = 1

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return "" if scene.surroundings.clock is not None else "no C compiler, or not our system"

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        clock = scene.surroundings.clock
        assert clock is not None
        seconds = random.choice(_JUMPS_S) * random.choice((-1, 1))
        holds_s = random.uniform(*_HOLDS_S)
        clock.set(seconds)
        probe = scene.ingesting()

        def back() -> None:
            if not struck:
                struck.append(True)
                for victim in processes_of(scene.data_dir, INGESTOR.marker):
                    os.kill(victim.pid, signal.SIGKILL)
            clock.set(0)

        struck: list[bool] = []
        return Hit(f"{seconds:+d} s for {holds_s:.1f} s", probe, back, holds_s)
