"""Parquet read in a process with bounds: what a file of a kilobyte unpacks to is not known before.

What a page, a dictionary or an encoding takes stands in the file, and may be a lie. So the limit is
of the process: memory, time, and no rights (`cluster.confinement`).
"""

import subprocess
import sys
import threading
from contextlib import suppress
from typing import BinaryIO, Final

from pydantic import ValidationError

from cluster.confinement import bare_environment
from cluster.scratch_folder import ScratchFolder
from deployments.gateway.parquet_reading import Asked, Reading
from training.data.problems import WHOLE_FILE, Problem

__all__ = ["ParquetProcess"]

_CHILD: Final = ("-m", "deployments.gateway.parquet_child")
_FOLDERS: Final = "everloop-parquet-"
_LONGEST_ANSWER: Final = 16 * 1024**2


class ParquetProcess:
    """Reads one file once. `end` may be called by another thread."""

    def __init__(self, *, memory_mib: int, timeout_s: float) -> None:
        self._memory_mib: Final = memory_mib
        self._timeout_s: Final = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._late = self._ended = False

    def read(self, file: BinaryIO, asked: Asked) -> Reading:
        """Read `file`, which is on the disk; its position stays. Blocking.

        A process that dies, takes too long or talks nonsense is a problem of the file.
        """
        descriptor = file.fileno()
        file.flush()
        with ScratchFolder(_FOLDERS) as scratch:
            arguments = [str(scratch.path), str(self._memory_mib), str(descriptor)]
            self._process = subprocess.Popen(
                [sys.executable, "-P", *_CHILD, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(descriptor,),
                cwd=scratch.path,
                env=bare_environment(scratch.path),
                start_new_session=True,
            )
            said = self._ask(self._process, asked)
        if self._late:
            return _failed(f"takes longer than {self._timeout_s:g} s to read; split it.")
        try:
            return Reading.model_validate_json(said)
        except ValidationError:
            status = self._process.returncode
            return _failed(f"cannot be read: its reader failed (exit status {status}).")

    def end(self) -> None:
        """Have it read no more."""
        self._ended = True
        if self._process is not None:
            self._process.kill()

    def _ask(self, process: "subprocess.Popen[bytes]", asked: Asked) -> bytes:
        if self._ended:
            process.kill()
        timer = threading.Timer(self._timeout_s, self._stop)
        timer.start()
        try:
            assert process.stdin is not None  # noqa: S101 - a pipe, as asked for
            assert process.stdout is not None  # noqa: S101 - a pipe, as asked for
            with suppress(BrokenPipeError), process.stdin as stream:
                stream.write(asked.model_dump_json().encode())
            with process.stdout as stream:
                said = stream.read(_LONGEST_ANSWER)
                if len(said) == _LONGEST_ANSWER:
                    process.kill()
            process.wait()
            return said
        finally:
            timer.cancel()
            process.kill()
            process.wait()

    def _stop(self) -> None:
        self._late = True
        self.end()


def _failed(message: str) -> Reading:
    return Reading(problems=(Problem(WHOLE_FILE, "", message),))
