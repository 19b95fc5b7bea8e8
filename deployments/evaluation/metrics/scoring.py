"""How a scorer is made from a function of one answer, and how a reference is read."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cluster.errors import EverloopError
from deployments.evaluation.cases import Score
from deployments.evaluation.metrics.metric import MetricInput, Scorer
from deployments.evaluation.toolbox import Toolbox

__all__ = ["Judge", "NotApplicable", "Prepare", "one_by_one", "reference_texts", "shown"]

Judge = Callable[[MetricInput], Score]
"""Scores one answer. Raises NotApplicable where it cannot."""
Prepare = Callable[[Mapping[str, Any]], Judge]
"""Makes a judge of checked options; what is costly to make is made here, once per batch."""

_SHOWN: Final = 80


class NotApplicable(EverloopError):
    """Raised where an answer has no such score; the message says why. It leaves no metric."""


def one_by_one(prepare: Prepare) -> Scorer:
    """A scorer that judges one answer after the other, in a thread.

    An answer that cannot be scored gets the value None and its reason: one bad item of a thousand
    is no cause to lose the others.
    """

    async def score(
        inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
    ) -> list[Score]:
        del tools
        return await asyncio.to_thread(_judged, prepare, inputs, options)

    return score


def _judged(
    prepare: Prepare, inputs: Sequence[MetricInput], options: Mapping[str, Any]
) -> list[Score]:
    judge = prepare(options)
    scores = []
    for answer in inputs:
        try:
            scores.append(judge(answer))
        except NotApplicable as unscored:
            scores.append(Score(None, detail={"reason": unscored.message}))
    return scores


def reference_texts(reference: Any) -> list[str]:
    """The one text, or the several of which any is right. Numbers are written as JSON does.

    Raises NotApplicable for anything else, and for an empty list.
    """
    several = reference if isinstance(reference, Sequence) else [reference]
    if isinstance(reference, str):
        several = [reference]
    if not several or not all(isinstance(one, str | int | float) for one in several):
        raise NotApplicable(
            f"The reference must be a text or a list of texts, not {shown(reference)}."
        )
    return [one if isinstance(one, str) else json.dumps(one) for one in several]


def shown(value: Any) -> str:
    """The value as an error shows it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
