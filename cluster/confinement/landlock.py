"""Landlock: which files a process may still open (docs.kernel.org/userspace-api/landlock.html).

The numbers are those of `linux/landlock.h`.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cluster.confinement.kernel import call

__all__ = ["allow_only"]

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_TRUNCATE: Final = 1 << 14
_READ: Final = _READ_FILE | _READ_DIR
_WRITE: Final = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _TRUNCATE
_OF_A_FILE: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_RIGHTS_BY_VERSION: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Bits of file rights that a version of the interface knows; later ones know no more."""
_TCP: Final = 0b11
"""To bind and to connect; from version 4 on."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals; from version 6 on."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def allow_only(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Let this thread, and what it starts, open these folders and files only; the kernel's version.

    It needs `no_new_privs`. Paths that do not exist are left out. Raises OSError where the kernel
    has no Landlock.
    """
    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    rights = (1 << _RIGHTS_BY_VERSION.get(version, 16)) - 1
    attributes = _Ruleset(
        rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )  # an older kernel takes the longer struct where the rest is zero
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    ruleset = call(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for allowed, paths in ((_READ, readable), (_WRITE, writable)):
            for path in paths:
                _add(ruleset, path, allowed & rights)
        call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _add(ruleset: int, path: Path, allowed: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            allowed &= _OF_A_FILE
        rule = _PathBeneath(allowed, descriptor)
        call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
