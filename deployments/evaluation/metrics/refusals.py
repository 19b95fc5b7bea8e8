"""Whether an answer refuses: it says that it does not know, or that it will not help.

The rules are in `refusals.yaml`, for ten languages; all of them are asked, since a model may refuse
in another language than it was asked in. An answer refuses where its first sentence does, after
apologies, and no answer follows all the same («I don't know, but I think …»).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from deployments.evaluation.cases import Case, Score
from deployments.evaluation.metrics.metric import MetricInput
from deployments.evaluation.toolbox import Toolbox
from ingestion.sentences import sentence_spans

__all__ = [
    "Refusal",
    "idk_correctness",
    "idk_figures",
    "is_answerable",
    "read_refusal",
    "refusal",
    "refusal_of",
    "says_unknown",
]

RefusalKind = Literal["unknown", "declined"]

_RULES: Final = Path(__file__).with_name("refusals.yaml")
_READ: Final = 1_200
"""Characters of an answer: a refusal stands at its beginning."""
_OPENINGS: Final = 2
"""Sentences of apology before it."""
_WORDS_OF_AN_ANSWER: Final = 3
"""Words behind «but» from which something was answered after all."""
_FOLDED: Final = str.maketrans("’‘`´“”„«»", '\'\'\'\'"""""')
_QUOTED: Final = re.compile(r"\"[^\"]{1,300}\"")
_STEPS: Final = re.compile(r"```|\n\s*(?:1[.)]|step 1)", re.IGNORECASE)
_NO: Final = frozenset(
    ("", "false", "no", "0", "null", "none", "n/a", "unanswerable", "unknown", "impossible")
)
_YES: Final = frozenset(("true", "yes", "1", "answerable"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an answer refuses."""

    kind: RefusalKind
    language: str
    """Whose rule found it; words that two languages share go to the first in the file."""


@dataclass(frozen=True, slots=True)
class _Rules:
    language: str
    refusals: tuple[tuple[RefusalKind, re.Pattern[str]], ...]
    opening: re.Pattern[str]
    continued: re.Pattern[str]
    offer: re.Pattern[str]


def read_refusal(answer: str) -> Refusal | None:
    """Return how `answer` refuses, None where it answers. Its first 1,200 characters are read."""
    answer = answer[:_READ]
    for start, end in sentence_spans(answer)[: _OPENINGS + 1]:
        sentence = _fold(answer[start:end])
        for rules in _rules():
            found = _first(rules, sentence)
            if found is None:
                continue
            kind, until = found
            rest = sentence[until:] + " " + _fold(answer[end:])
            if _STEPS.search(answer) or _answers_after_all(rules, rest):
                return None
            return Refusal(kind, rules.language)
        if not any(rules.opening.search(sentence) for rules in _rules()):
            return None
    return None


def says_unknown(sentence: str) -> bool:
    """Whether a sentence of an answer says that something is not known or not in the documents."""
    text = _fold(sentence[:_READ])
    return any(
        kind == "unknown" and pattern.search(text)
        for rules in _rules()
        for kind, pattern in rules.refusals
    )


def refusal_of(case: Case, prediction: str) -> Mapping[str, Any] | None:
    """Return how an answer refuses as JSON: by the platform, or by a phrase of the model's."""
    if case.sample is not None and case.sample.refused:
        return {"by": "platform", "kind": "unknown"}
    found = read_refusal(prediction)
    if found is None:
        return None
    return {"by": "phrase", "kind": found.kind, "language": found.language}


def is_answerable(reference: Any) -> bool:
    """Read whether a question can be answered from what an item says.

    True and false, also as words; otherwise the right answer: null, empty or itself a refusal
    where there is none.
    """
    if isinstance(reference, bool):
        return reference
    if reference is None:
        return False
    if isinstance(reference, Sequence) and not isinstance(reference, str):
        return any(is_answerable(one) for one in reference)
    folded = str(reference).strip().casefold()
    if folded in _NO:
        return False
    return folded in _YES or read_refusal(str(reference)) is None


async def idk_correctness(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    """1 where the answer refuses exactly if the question cannot be answered."""
    del options, tools
    scores = []
    for given in inputs:
        answerable = is_answerable(given.reference)
        how = refusal_of(given.case, given.prediction)
        detail = {"answerable": answerable, "refused": how is not None, "refusal": how}
        scores.append(Score(float(answerable == (how is None)), detail=detail))
    return scores


def idk_figures(scores: Sequence[Score]) -> Mapping[str, float]:
    """Shares of answerable questions refused and of unanswerable ones answered, where any were."""
    figures = {}
    for name, answerable, refused in (
        ("refused_of_answerable", True, True),
        ("answered_of_unanswerable", False, False),
    ):
        kept = [s for s in scores if s.value is not None and s.detail["answerable"] is answerable]
        if kept:
            figures[name] = sum(s.detail["refused"] is refused for s in kept) / len(kept)
    return figures


async def refusal(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    """1 where the answer refuses."""
    del options, tools
    found = [refusal_of(given.case, given.prediction) for given in inputs]
    return [Score(float(how is not None), detail={"refusal": how}) for how in found]


def _first(rules: _Rules, sentence: str) -> tuple[RefusalKind, int] | None:
    """The kind of a sentence's refusal and where it ends; what it only quotes does not count."""
    spoken = _QUOTED.sub(lambda quoted: " " * len(quoted.group()), sentence)
    for kind, pattern in rules.refusals:
        if match := pattern.search(spoken):
            return kind, match.end()
    return None


def _answers_after_all(rules: _Rules, rest: str) -> bool:
    turn = rules.continued.search(rest)
    if turn is None:
        return False
    offer = rules.offer.search(rest)
    if offer is not None and offer.start() <= turn.end():
        return False
    said = rest[turn.end() :]
    if any(pattern.search(said) for _, pattern in rules.refusals):
        return False
    wide = sum(character >= "\u2e80" for character in said)
    return len(said.split()) >= _WORDS_OF_AN_ANSWER or wide >= 2 * _WORDS_OF_AN_ANSWER


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[^\S\n]+", " ", folded.translate(_FOLDED))


@cache
def _rules() -> tuple[_Rules, ...]:
    import yaml

    def union(patterns: Sequence[str]) -> re.Pattern[str]:
        return re.compile("|".join(map(_folded_rule, patterns)))

    loaded = yaml.safe_load(_RULES.read_text(encoding="utf-8"))
    return tuple(
        _Rules(
            language,
            tuple((kind, union(rules[kind])) for kind in ("unknown", "declined")),
            union(rules["opening"]),
            union(rules["continued"]),
            union(rules["offer"]),
        )
        for language, rules in loaded.items()
    )


def _folded_rule(pattern: str) -> str:
    """As texts are folded: `ß` is `ss`."""
    return pattern.replace("ß", "ss")
