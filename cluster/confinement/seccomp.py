"""A filter of system calls: what a parser never needs is refused with EPERM (`seccomp(2)`).

No sockets, no new processes, no new programs, no looking into other processes. The numbers are
those of `linux/seccomp.h`, `linux/filter.h` and the tables of system calls.
"""

import ctypes
import errno
import platform
import struct
from typing import Final

from cluster.confinement.kernel import prctl

__all__ = ["forbid_calls"]

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_CLONE_THREAD: Final = 0x00010000
_X32: Final = 0x40000000

_MACHINES: Final = {
    "x86_64": (
        0xC000003E,
        56,
        {
            "socket": 41, "connect": 42, "sendto": 44, "bind": 49, "listen": 50, "socketpair": 53,
            "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101, "pivot_root": 155,
            "chroot": 161, "mount": 165, "umount2": 166, "init_module": 175, "add_key": 248,
            "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
            "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
            "process_vm_writev": 311, "finit_module": 313, "bpf": 321, "execveat": 322,
            "userfaultfd": 323, "io_uring_setup": 425, "pidfd_getfd": 438,
        },
    ),
    "aarch64": (
        0xC00000B7,
        220,
        {
            "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "unshare": 97,
            "init_module": 105, "ptrace": 117, "kill": 129, "socket": 198, "socketpair": 199,
            "bind": 200, "listen": 201, "connect": 203, "sendto": 206, "add_key": 217,
            "request_key": 218, "keyctl": 219, "execve": 221, "perf_event_open": 241,
            "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
            "process_vm_writev": 271, "finit_module": 273, "bpf": 280, "execveat": 281,
            "userfaultfd": 282, "io_uring_setup": 425, "pidfd_getfd": 438,
        },
    ),
}  # fmt: skip
"""Machine → its architecture in a filter, the number of `clone`, and what is refused."""
_CLONE3: Final = 435
"""Its flags are behind a pointer that a filter cannot follow; told that the kernel has no such
call, the C library takes `clone`."""


def forbid_calls() -> None:
    """Refuse the calls to this thread and what it starts. It needs `no_new_privs`.

    Raises OSError where the kernel or the machine is not known.
    """
    if platform.machine() not in _MACHINES:
        raise OSError(f"no filter is written for {platform.machine()}")
    program = b"".join(_program(*_MACHINES[platform.machine()]))
    code = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.c_char_p(filter_))


def _program(architecture: int, clone: int, refused: dict[str, int]) -> list[bytes]:
    """Instructions; a jump says how many to pass over where it holds, and where it does not."""
    denied = _step(_RETURN, _ERRNO | errno.EPERM)
    lines = [
        _step(_LOAD, _ARCH_AT),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
        _step(_AT_LEAST, _X32, 0, 1),
        denied,
        _step(_EQUAL, _CLONE3, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for number in refused.values():
        lines += [_step(_EQUAL, number, 0, 1), denied]
    lines += [
        _step(_EQUAL, clone, 0, 3),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        _step(_ANY_BIT, _CLONE_THREAD, 1, 0),
        denied,
        _step(_RETURN, _ALLOW),
    ]
    return lines


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
