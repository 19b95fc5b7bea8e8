"""Checks of what stands outside the process: database, byte store, Milvus, models."""

from collections.abc import Callable

from cluster.doctor.check import Check
from cluster.errors import EverloopError

__all__ = ["check_model_files", "check_service"]


def check_service(name: str, probe: Callable[[], str], *, expected: bool = True) -> Check:
    """Run `probe`, which returns what it found or raises EverloopError.

    `expected` is False for a part that `up` would start and that does not run yet.
    """
    try:
        return Check(name, "ok", probe())
    except EverloopError as error:
        if expected:
            return Check(name, "fail", error.message, error.fix)
        return Check(name, "ok", "not started yet; `everloop up` starts it")


def check_model_files(source: str, damage: Callable[[str], list[str]]) -> Check:
    """Compare a packaged model's files with their checksums."""
    try:
        problems = damage(source)
    except EverloopError as error:
        return Check(f"model {source}", "fail", error.message, error.fix)
    if problems:
        return Check(
            f"model {source}", "fail", "; ".join(problems[:3]), "`everloop up` makes it anew."
        )
    return Check(f"model {source}", "ok", "nothing damaged")
