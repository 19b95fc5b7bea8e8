"""Calls to the Linux kernel for which Python 3.11 has no function."""

import ctypes
import os
import sys
from functools import cache
from typing import Final

__all__ = ["CLONE_NEWIPC", "CLONE_NEWNET", "CLONE_NEWUSER", "call", "prctl", "unshare"]

CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWNET: Final = 0x40000000


@cache
def _libc() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise OSError("this is no Linux")
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """Make a system call. Raises OSError."""
    return _checked(int(_libc().syscall(ctypes.c_long(number), *arguments)))


def prctl(option: int, *arguments: object) -> int:
    """`prctl(2)`. Raises OSError."""
    padded = [*arguments, *(ctypes.c_ulong(0) for _ in range(4 - len(arguments)))]
    return _checked(int(_libc().prctl(option, *padded)))


def unshare(flags: int) -> None:
    """`unshare(2)`; `os.unshare` is there from Python 3.12 on. Raises OSError."""
    _checked(int(_libc().unshare(flags)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
