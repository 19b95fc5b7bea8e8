"""What an answer is worth: pure functions in a registry, each from 0 or -∞ upwards."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from training.data.texts import normalised, words
from training.gate.settings import MetricChoice

__all__ = ["METRICS", "Metric", "Observation", "choose_metric"]

_SHARE_SHORT: Final = 0.9


@dataclass(frozen=True, slots=True)
class Observation:
    """What one side made of one item."""

    answer: str
    reference: str
    log_probabilities: tuple[float, ...] = ()
    """Natural logarithms, of the reference's tokens by the served weights; where asked for."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A score of an observation; higher is better."""

    name: str
    binary: bool
    """0 or 1: compared by McNemar's test; others by Wilcoxon's."""
    needs_log_probabilities: bool
    unit: str
    resolution: float
    """Smaller differences are none: noise of the arithmetic, which can lean one way, is no win."""
    score: Callable[[Observation], float]


def exact_match(seen: Observation) -> float:
    """1 where answer and reference are equal but for case, spacing and compatible characters."""
    return float(normalised(seen.answer) == normalised(seen.reference))


def token_f1(seen: Observation) -> float:
    """F1 of the words that answer and reference share, as often as they share them.

    As SQuAD's (Rajpurkar et al. 2016), but articles count. Two texts without a word are equal.
    """
    answer, reference = Counter(words(seen.answer)), Counter(words(seen.reference))
    total = answer.total() + reference.total()
    return 2 * (answer & reference).total() / total if total else 1.0


def log_likelihood(seen: Observation) -> float:
    """Mean log-probability of the reference's tokens, in nats per token. ValueError without."""
    if not seen.log_probabilities:
        raise ValueError("no log-probability was measured")
    return sum(seen.log_probabilities) / len(seen.log_probabilities)


METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric("exact_match", True, False, "share of answers that match", 1e-9, exact_match),
        Metric("token_f1", False, False, "F1 of shared words", 1e-9, token_f1),
        Metric(
            "log_likelihood", False, True, "nats per token of the reference", 1e-3, log_likelihood
        ),
    )
}


def choose_metric(
    wanted: MetricChoice, references: Sequence[str], short_words: int, *, by_weights: bool = True
) -> Metric:
    """The metric of that name; for `auto` by how many references are short.

    Unless `by_weights`, two sides of the same weights may answer otherwise, by their prompts:
    `auto` then looks at answers alone.
    """
    if wanted != "auto":
        return METRICS[wanted]
    short = sum(len(words(reference)) <= short_words for reference in references)
    if short >= _SHARE_SHORT * len(references):
        return METRICS["exact_match"]
    return METRICS["log_likelihood" if by_weights else "token_f1"]
