"""What a Python process must be able to read: Python itself, packages, the C library's files."""

import sys
import sysconfig
from pathlib import Path
from typing import Final

__all__ = ["installation"]

_SYSTEM: Final = (
    "/usr/lib", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
    "/etc/mime.types", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom",
)  # fmt: skip


def installation(*packages: str) -> list[Path]:
    """The folders and files; `packages` are those that are imported and lie elsewhere."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = {Path(sysconfig.get_path(name)) for name in names}
    places |= {Path(sys.base_prefix) / "lib", Path(sys.prefix) / "lib"}
    for name in packages:
        places |= set(map(Path, sys.modules[name].__path__))
    return sorted(places) + [Path(name) for name in _SYSTEM]
