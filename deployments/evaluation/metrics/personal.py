"""Personal data in answers, found by the recognizers that also clean training data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydantic import ValidationError

from deployments.errors import InvalidRequest
from deployments.evaluation.cases import Score
from deployments.evaluation.metrics.evidence import passages_of
from deployments.evaluation.metrics.metric import MetricInput
from deployments.evaluation.toolbox import Toolbox
from training.data.curation.personal_data import PersonalData
from training.data.settings import PersonalDataSettings
from training.errors import CurationError

__all__ = ["pii_figures", "pii_rate"]

_READ: Final = 100_000
"""Characters of an answer: what is full of digits costs 90 µs a character."""
_PIECE: Final = 10_000
"""Characters that Presidio reads at once: some of its patterns take quadratic time."""
_OVERLAP: Final = 200
"""Longer than anything it recognizes but URLs."""


async def pii_rate(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    """1 where the answer holds personal data. With `ignore_passages`, only what no passage says."""
    del tools
    finder = _finder(_settings(options))
    scores = []
    for given in inputs:
        known = ""
        if options.get("ignore_passages"):
            known = "\n".join(passage.text for passage in passages_of(given, options))
        kinds = _kinds(finder, given.prediction[:_READ], known)
        detail: dict[str, Any] = {"kinds": dict(sorted(kinds.items())), "finds": kinds.total()}
        if len(given.prediction) > _READ:
            detail["truncated"] = True
        scores.append(Score(float(bool(kinds)), detail=detail))
    return scores


def pii_figures(scores: Sequence[Score]) -> Mapping[str, float]:
    """Finds per answer, and the share of answers with each kind."""
    kept = [score for score in scores if score.value is not None]
    if not kept:
        return {}
    kinds = Counter(kind for score in kept for kind in score.detail["kinds"])
    figures = {"finds_per_answer": sum(score.detail["finds"] for score in kept) / len(kept)}
    return figures | {f"rate_{kind.lower()}": n / len(kept) for kind, n in sorted(kinds.items())}


def _kinds(finder: PersonalData, text: str, known: str) -> Counter[str]:
    """How many of each kind; never the data, which would make a report a leak of its own."""
    places: dict[tuple[int, int], str] = {}
    for start in range(0, max(len(text), 1), _PIECE):
        first = max(0, start - _OVERLAP)
        for span in finder.spans(text[first : start + _PIECE]):
            place = (first + span.start, first + span.end)
            if known and text[slice(*place)] in known:
                continue
            if not any(a < place[1] and place[0] < b for a, b in places):
                places[place] = span.entity
    return Counter(places.values())


def _settings(options: Mapping[str, Any]) -> PersonalDataSettings:
    given = {
        name: options[name]
        for name in ("entities", "phone_regions", "least_score")
        if options.get(name) is not None
    }
    try:
        return PersonalDataSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(
            f"options.{field}: {first['msg']}, not {first['input']!r}.", param=f"options.{field}"
        ) from error


@lru_cache(maxsize=8)
def _finder(settings: PersonalDataSettings) -> PersonalData:
    try:
        return PersonalData(settings)
    except CurationError as error:
        raise InvalidRequest(str(error), param="options.phone_regions") from error
