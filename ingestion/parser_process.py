"""A parser in a process without rights: started, asked, and ended, by the process that trusts it.

What it is given: the bytes of one document at a time, an environment without a secret, a folder of
its own. `cluster.confinement` says what else it can do, which is nearly nothing.
"""

import contextlib
import json
import logging
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import IO, Any, Final

from cluster.confinement import Layers, bare_environment
from cluster.scratch_folder import ScratchFolder
from ingestion.errors import DocumentError, IngestionError
from ingestion.loaders.limits import DocumentLimits
from ingestion.parser_child import read_frame, write_frame

__all__ = ["FOLDERS", "LOADER", "ParserDiedError", "ParserProcess"]

_log = logging.getLogger(__name__)
_LIMITS: Final = DocumentLimits()
LOADER: Final = "ingestion.loaders:load_document"
FOLDERS: Final = "everloop-parsing-"
"""What the names of the processes' folders begin with."""


class ParserDiedError(IngestionError):
    """The parser's process ended while it had the file; the file may or may not be why."""


class ParserProcess:
    """One process. It is not for several threads at once.

    `loader` names a function of bytes, a name and limits to a `ParsedDocument`, as
    `module:function`.
    """

    def __init__(
        self,
        *,
        memory_mib: int,
        limits: DocumentLimits = _LIMITS,
        required: bool = False,
        loader: str = LOADER,
    ) -> None:
        self._memory_mib = memory_mib
        self._limits = json.dumps(asdict(limits))
        self._required = required
        self._loader = loader
        self._folder: ScratchFolder | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.layers: Layers | None = None
        """What confines it, once it has started."""

    def start(self) -> None:
        """Start it and wait until it can parse, which takes seconds; nothing where it runs.

        It ends with the thread that starts it, by the kernel's hand: that should be the main one.
        Raises ParserDiedError, and IngestionError where confinement is `required` and this machine
        does not have what keeps the network and the files shut.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._folder = ScratchFolder(FOLDERS)
        folder = self._folder.path
        command = [sys.executable, "-P", "-m", "ingestion.parser_child"]
        self._process = subprocess.Popen(
            [*command, str(folder), str(self._memory_mib), self._loader, self._limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=bare_environment(folder) | {"UNSTRUCTURED_DISABLE_NOTICE": "1"},
            start_new_session=True,
        )
        frame = self._read()
        if frame is None:
            raise self._died("before it could read anything")
        self.layers = Layers(**frame[0]["layers"])
        if missing := self.layers.missing():
            _log.warning("A parser runs without these layers of its sandbox: %s", missing)
        if self._required and not self.layers.is_shut:
            self.close()
            raise IngestionError(
                f"The parser cannot be shut off from network and files here: {missing}.",
                fix="Run on Linux 5.13 or later, or set `ingestion.sandbox: available`.",
            )

    def parse(self, data: bytes, filename: str, timeout_s: float | None = None) -> bytes:
        """Return the document as `dump_document` writes it; starts a process where none runs.

        Raises DocumentError (the file is at fault, also where it takes longer than `timeout_s`),
        ParserDiedError.
        """
        self.start()
        process = self._process
        assert process is not None  # noqa: S101 - started above
        assert process.stdin is not None  # noqa: S101 - a pipe, as asked for
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = None if timeout_s is None else threading.Timer(timeout_s, end)
        if timer is not None:
            timer.start()
        try:
            write_frame(process.stdin, {"filename": filename}, data)
            frame = self._read()
        except BrokenPipeError:
            frame = None
        finally:
            if timer is not None:
                timer.cancel()
        if frame is None:
            died = self._died(f"on {filename!r}")
            if late.is_set():
                raise DocumentError(
                    f"{filename!r} took longer than {timeout_s:g} s to parse.",
                    fix="Split it, or raise `ingestion.file_timeout_s`.",
                )
            raise died
        head, document = frame
        if "memory" in head:
            raise DocumentError(
                f"{filename!r} needs more than {head['memory']} MiB of memory to be parsed.",
                fix="Split it, or raise `ingestion.parser_memory_mib`.",
            )
        if "error" in head:
            raise DocumentError(
                head["error"], code=head.get("code", "invalid_file"), fix=head["fix"]
            )
        return document

    def close(self) -> None:
        """End it and remove its folder."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    _close(stream)
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    @property
    def pid(self) -> int | None:
        """The process, where one was started."""
        return None if self._process is None else self._process.pid

    def _read(self) -> tuple[dict[str, Any], bytes] | None:
        assert self._process is not None  # noqa: S101 - the callers started it
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as asked for
        return read_frame(self._process.stdout)

    def _died(self, when: str) -> ParserDiedError:
        process = self._process
        code = None if process is None else process.wait()
        self.close()
        return ParserDiedError(f"The parser process died {when} (exit status {code}).")


def _close(stream: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.close()
