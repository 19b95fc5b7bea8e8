"""What a process that reads strangers' bytes begins with, and how much memory it may take."""

import os
import resource
import sys
from pathlib import Path
from typing import Final

__all__ = ["bare_environment", "limit_memory"]

_MIB: Final = 1024**2
_ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "DO_NOT_TRACK": "1",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""Threads would escape the limits set later, and an allocator that keeps what is freed the sum."""


def bare_environment(folder: Path) -> dict[str, str]:
    """All that it inherits: no secret, the paths of packages, and `folder` for its own files."""
    paths = (os.fspath(path) for path in sys.path if path)
    return {
        **_ENVIRONMENT,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def limit_memory(mib: int) -> None:
    """Let this process allocate `mib` more than it has (RLIMIT_DATA: heap and private maps)."""
    status = Path("/proc/self/status")
    if not status.is_file():  # not Linux: the time limit alone protects
        return
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    used = int(fields["VmData"].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + mib * _MIB
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
