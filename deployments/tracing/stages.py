"""The stages of a request, in the order in which they are shown."""

from typing import Final

__all__ = ["STAGES"]

STAGES: Final = (
    "retrieve",
    "decide",
    "pack",
    "render",
    "first_answer",
    "generate",
    "attribution_wait",
)
