"""Whether an answer's text is, holds or matches what is asked for: 0 or 1."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from deployments.evaluation.cases import Score
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.metrics.scoring import (
    Judge,
    NotApplicable,
    one_by_one,
    reference_texts,
    shown,
)
from deployments.json_schemas import MATCH_SECONDS, PATTERN_CHARACTERS
from training.data.texts import normalised

if TYPE_CHECKING:
    import regex

__all__ = ["TEXT_METRICS", "compiled"]

_MATCH_SHOWN: Final = 200


def _exact_match(options: Mapping[str, Any]) -> Judge:
    form = _form(options)

    def judge(answer: MetricInput) -> Score:
        wanted = map(form, reference_texts(answer.reference))
        return Score(float(form(answer.prediction) in set(wanted)))

    return judge


def _contains(options: Mapping[str, Any]) -> Judge:
    form, enough = _form(options), all if options.get("every") else any

    def judge(answer: MetricInput) -> Score:
        wanted = [form(text) for text in reference_texts(answer.reference)]
        if not all(wanted):
            raise NotApplicable("An empty reference is part of every text.")
        text = form(answer.prediction)
        found = [part in text for part in wanted]
        return Score(float(enough(found)), detail={"found": sum(found), "of": len(found)})

    return judge


def _form(options: Mapping[str, Any]) -> Callable[[str], str]:
    return str if options.get("strict") else normalised


def _regex_match(options: Mapping[str, Any]) -> Judge:
    def judge(answer: MetricInput) -> Score:
        pattern = compiled(answer.reference, ignore_case=options.get("ignore_case", False))
        match = pattern.fullmatch if options.get("whole") else pattern.search
        try:
            found = match(answer.prediction, timeout=MATCH_SECONDS)
        except TimeoutError:
            raise NotApplicable(
                f"The pattern {shown(answer.reference)} took longer than {MATCH_SECONDS:g} s."
            ) from None
        if found is None:
            return Score(0.0)
        return Score(1.0, detail={"match": found.group()[:_MATCH_SHOWN]})

    return judge


def compiled(pattern: Any, *, ignore_case: bool = False) -> "regex.Pattern[str]":
    """The pattern, ready to match. Raises NotApplicable where it is none, or too long."""
    import regex

    if not isinstance(pattern, str):
        raise NotApplicable(f"The reference must be a pattern, not {shown(pattern)}.")
    if len(pattern) > PATTERN_CHARACTERS:
        raise NotApplicable(
            f"The pattern has {len(pattern)} characters; {PATTERN_CHARACTERS} are allowed."
        )
    try:
        return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    except regex.error as error:
        raise NotApplicable(f"{shown(pattern)} is no pattern: {error}.") from None


TEXT_METRICS: Final = (
    Metric(
        "exact_match",
        "1 where the answer is the reference, but for case, spacing and compatible characters "
        "(Unicode NFKC); `strict`: character for character.",
        one_by_one(_exact_match),
        binary=True,
        reference="texts",
        options={"strict": bool},
    ),
    Metric(
        "contains",
        "1 where the answer holds the reference, of several any, or with `every` all; compared as "
        "`exact_match` compares.",
        one_by_one(_contains),
        binary=True,
        reference="texts",
        options={"strict": bool, "every": bool},
    ),
    Metric(
        "regex_match",
        "1 where the pattern (in the syntax of the package regex) is found in the answer; `whole`: "
        "where it matches all of it.",
        one_by_one(_regex_match),
        binary=True,
        reference="pattern",
        options={"whole": bool, "ignore_case": bool},
    ),
)
