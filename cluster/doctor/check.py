"""One finding of the doctor."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, what was found, and what to do when it is not well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""
