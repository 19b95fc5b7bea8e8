"""How sure a model was of its verdict: the probability of each label at the verdict's first token.

Source: G-Eval (Liu et al. 2023, section 3), which takes the score as the sum of each allowed score
times its probability. A label's probability is that of the tokens it may begin with.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from deployments.evaluation.judges.shape import Found

__all__ = ["probabilities", "spread_of", "weighted_mean"]

_UNCLEAR: Final = 0.01
"""Share of the probability that may begin several labels at once, or none yet."""


class _Start(NamedTuple):
    token: Mapping[str, Any]
    lead: str
    """What the token holds before the verdict."""


def probabilities(
    content: str, found: Found, tokens: Sequence[Mapping[str, Any]], spellings: Mapping[str, str]
) -> dict[str, float] | None:
    """The probability of each label, which sum to 1; a label that was not among the top has 0.

    `tokens` are `logprobs.content` of OpenAI's chat choice, `spellings` each label as it stands in
    an answer. None where the model told none, or where labels begin alike, so that the first
    token does not tell them apart.
    """
    start = _start(content, found.start, tokens)
    if start is None:
        return None
    mass = dict.fromkeys(spellings, 0.0)
    unclear = 0.0
    for text, chance in _alternatives(start.token):
        if not text.startswith(start.lead):
            continue
        begun = text[len(start.lead) :]
        labels = _begun(begun, found.end, spellings)
        if len(labels) == 1:
            mass[labels[0]] += chance
        elif labels:
            unclear += chance
    total = sum(mass.values())
    if mass[found.label] <= 0 or unclear > _UNCLEAR * (total + unclear):
        return None
    return {label: chance / total for label, chance in mass.items()}


def weighted_mean(chances: Mapping[str, float], values: Mapping[str, float]) -> float:
    """The expected value."""
    return math.fsum(chance * values[label] for label, chance in chances.items())


def spread_of(chances: Mapping[str, float], values: Mapping[str, float]) -> float:
    """The standard deviation, in the values' unit: 0 where the model was certain."""
    middle = weighted_mean(chances, values)
    squares = (chance * (values[label] - middle) ** 2 for label, chance in chances.items())
    return math.sqrt(math.fsum(squares))


def _start(content: str, start: int, tokens: Sequence[Mapping[str, Any]]) -> _Start | None:
    """The token in which the verdict begins; None where the tokens do not spell the content."""
    offset = 0
    for token in tokens:
        text = str(token.get("token", ""))
        blanks = ""
        if not content.startswith(text, offset):
            # Some tokenizers begin a text with a blank that its decoding drops.
            bare = text.lstrip() if offset == 0 else ""
            if not bare or not content.startswith(bare):
                return None
            blanks, text = text[: len(text) - len(bare)], bare
        if start < offset + len(text):
            return _Start(token, blanks + text[: start - offset])
        offset += len(text)
    return None


def _alternatives(token: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The texts that could have stood there, with their probabilities."""
    told = list(token.get("top_logprobs") or ())
    if all(one.get("token") != token.get("token") for one in told):
        told.append(token)
    return [
        (str(one.get("token", "")), math.exp(log))
        for one in told
        if isinstance(log := one.get("logprob"), int | float) and log <= 0
    ]


def _begun(begun: str, end: str, spellings: Mapping[str, str]) -> list[str]:
    """The labels that an answer which begins so may become."""
    return [
        label
        for label, spelt in spellings.items()
        if (spelt + end).startswith(begun) or (end and begun.startswith(spelt + end))
    ]
