"""The layers around a process that reads strangers' bytes, and which of them this machine has.

Each stands alone: where a kernel or a container lacks one, the others hold, and `Layers` says so.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cluster.confinement.kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWUSER,
    call,
    prctl,
    unshare,
)
from cluster.confinement.landlock import allow_only
from cluster.confinement.seccomp import forbid_calls

__all__ = ["Layers", "confine", "isolate"]

IN_FORCE: Final = "in force"
_NOBODY: Final = 65534
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_OPEN_FILES: Final = 64
_LARGEST_FILE: Final = 256 * 1024**2


@dataclass(frozen=True)
class Layers:
    """`in force`, or why not."""

    namespaces: str
    """No network but an empty one, no shared memory of others."""
    user: str
    """Not root, and no capability."""
    files: str
    """Landlock: only the installation is readable and only a folder of its own is writable."""
    calls: str
    """Seccomp: no sockets, no processes, no programs."""
    limits: str
    """Open files, file sizes, core dumps."""

    def missing(self) -> dict[str, str]:
        """The layers that are not in force, with the reason."""
        return {name: said for name, said in asdict(self).items() if said != IN_FORCE}

    @property
    def is_shut(self) -> bool:
        """Whether no network and no file of the system can be reached."""
        shut = self.calls == IN_FORCE or self.namespaces == IN_FORCE
        return shut and self.files == IN_FORCE


def isolate() -> str:
    """Leave the network, before anything makes a thread; returns the state of the layer.

    The process also ends with the one that started it.
    """

    def leave() -> None:
        flags = CLONE_NEWNET | CLONE_NEWIPC
        unshare(flags if os.geteuid() == 0 else flags | CLONE_NEWUSER)

    _state(lambda: _end_with_parent())
    return _state(leave)


def confine(namespaces: str, readable: Iterable[Path], writable: Path) -> Layers:
    """Give up every right that reading `readable` and writing under `writable` does not need.

    Where it becomes another user, that user owns `writable` from then on.

    Call it on the main thread, once what is needed at once is imported. There is no way back.
    """
    readable = tuple(readable)
    limits = _state(_limit)
    user = _state(lambda: _drop_user(readable, writable))
    barred = _state(lambda: _ignored(prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))))
    if barred != IN_FORCE:
        return Layers(namespaces, user, barred, barred, limits)
    files = _state(lambda: _ignored(allow_only(readable, (writable,))))
    return Layers(namespaces, user, files, _state(forbid_calls), limits)


def _state(step: Callable[[], None]) -> str:
    try:
        step()
    except OSError as error:
        return error.strerror or str(error)
    return IN_FORCE


def _ignored(_result: int) -> None:
    """A number that nobody needs."""


def _end_with_parent() -> None:
    prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))


def _limit() -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, _LARGEST_FILE),
    ):
        _, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))


def _drop_user(readable: Iterable[Path], writable: Path) -> None:
    """Become nobody where we are root and nobody can read what is needed; give up capabilities."""
    try:
        if os.geteuid() == 0:
            _become_nobody(readable, writable)
    finally:
        _drop_capabilities()


def _become_nobody(readable: Iterable[Path], writable: Path) -> None:
    hidden = [path for path in readable if path.exists() and not _read_by_all(path)]
    if hidden:
        raise OSError(f"root without capabilities: only root may read {hidden[0]}")
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.chown(writable, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _end_with_parent()  # the kernel forgets it when the user changes


def _read_by_all(path: Path) -> bool:
    """Whether everybody may pass every folder on the way to `path`."""
    place = path.resolve()
    wanted = 0o001
    folders = [*place.parents, *([place] if place.is_dir() else [])]
    return all(folder.stat().st_mode & wanted for folder in folders)


def _drop_capabilities() -> None:
    if not sys.platform.startswith("linux"):
        raise OSError("this is no Linux")
    number = _CAPSET.get(os.uname().machine)
    if number is None:
        raise OSError(f"capset has no known number on {os.uname().machine}")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    call(number, ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
