"""The learning rate at a step: a pure function, so that there is no scheduler to save."""

import math
from typing import Literal

__all__ = ["Schedule", "rate_factor"]

Schedule = Literal["linear", "cosine", "constant"]


def rate_factor(step: int, steps: int, warmup: int, schedule: Schedule) -> float:
    """Share of the full learning rate in step `step` (from 0) of `steps`.

    It rises in equal parts over `warmup` steps to 1, then falls towards 0 at `steps` along a line
    or half a cosine (Loshchilov and Hutter, 2017), or stays.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    gone = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 1.0 - gone if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * gone))
