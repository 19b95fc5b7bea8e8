"""Every metric by its name. A module adds its own by a tuple that it exports and a line in _ALL."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from deployments.errors import InvalidRequest
from deployments.evaluation.metrics.costs import COST_METRICS
from deployments.evaluation.metrics.grounding import GROUNDING_METRICS
from deployments.evaluation.metrics.json_schema import JSON_SCHEMA_METRICS
from deployments.evaluation.metrics.metric import Metric
from deployments.evaluation.metrics.numbers import NUMBER_METRICS
from deployments.evaluation.metrics.overlap import OVERLAP_METRICS
from deployments.evaluation.metrics.retrieval import RETRIEVAL_METRICS
from deployments.evaluation.metrics.safety import SAFETY_METRICS
from deployments.evaluation.metrics.scoring import shown
from deployments.evaluation.metrics.similarity import SIMILARITY_METRICS
from deployments.evaluation.metrics.text import TEXT_METRICS

__all__ = ["METRICS", "check_options", "find_metric"]

_ALL: Final = (
    *TEXT_METRICS,
    *JSON_SCHEMA_METRICS,
    *NUMBER_METRICS,
    *OVERLAP_METRICS,
    *SIMILARITY_METRICS,
    *RETRIEVAL_METRICS,
    *GROUNDING_METRICS,
    *SAFETY_METRICS,
    *COST_METRICS,
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _ALL})
"""By name, in the order in which they are listed to a person."""

_REFUSED: Final = {
    "meteor": "it needs WordNet's data, which no package carries; chrf, which credits parts of "
    "words, and bertscore_f1, which credits synonyms, come nearest.",
}
"""Names that OpenAI's graders know, and why there is no such metric here."""


def find_metric(name: str) -> Metric:
    """The metric of that name. Raises InvalidRequest, which names those that exist."""
    if metric := METRICS.get(name):
        return metric
    reason = _REFUSED.get(name, f"there is none of that name; there are {', '.join(METRICS)}.")
    raise InvalidRequest(f"metric: {name!r} cannot be had: {reason}", param="metric")


def check_options(metric: Metric, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the metric's scorer takes them.

    Raises InvalidRequest for an option that the metric lacks, a value of another type or out of
    bounds, and for one that must be given and is not; `param` is `options.NAME`.
    """
    allowed = ", ".join(metric.options) or "none"
    for name in options:
        if name not in metric.options:
            raise InvalidRequest(
                f"options.{name}: {metric.name} has no such option; it has: {allowed}.",
                param=f"options.{name}",
            )
    for name in metric.required:
        if name not in options:
            raise InvalidRequest(
                f"options.{name}: {metric.name} needs this option.", param=f"options.{name}"
            )
    return {name: _checked(metric, name, value) for name, value in options.items()}


def _checked(metric: Metric, name: str, value: Any) -> Any:
    try:
        return TypeAdapter(metric.options[name]).validate_python(value, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise InvalidRequest(
            f"options.{name} of {metric.name} is {shown(value)}: {problem}.",
            param=f"options.{name}",
        ) from error
