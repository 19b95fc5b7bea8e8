"""Two texts against each other, in both orders; where the orders disagree, neither is better."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from deployments.evaluation.judges.choices import Choices
from deployments.evaluation.judges.judge import Question, Sampling
from deployments.evaluation.judges.prompts import JUDGE_PROMPTS
from deployments.evaluation.judges.verdict import Judgement, Verdict

__all__ = ["OUTCOMES", "Picks", "both_orders", "flipped", "outcome_of", "picks_of"]

OUTCOMES: Final = Choices(("A", "B", "tie"))
"""A: the first text is better, as the texts were given; B: the second."""
AS_GIVEN: Final = "as given"
SWAPPED: Final = "swapped"
_MIRRORED: Final = {"A": "B", "B": "A", "tie": "tie"}


class Picks(NamedTuple):
    """What a judge picked by position, over pairs that were asked in both orders."""

    first: int
    """Verdicts for the text that stood first."""
    second: int
    ties: int
    leaning_first: int
    """Pairs with more verdicts for the first position than for the second."""
    leaning_second: int
    flips: int
    """Pairs whose two orders do not say the same."""
    pairs: int


def both_orders(
    first: str, second: str, *, question: str = "", criterion: str = "", sampling: Sampling
) -> tuple[Question, Question]:
    """The two questions about two texts."""
    prompt = JUDGE_PROMPTS.get("pairwise")

    def ask(name: str, one: str, other: str) -> Question:
        messages = prompt.render(question=question, first=one, second=other, criterion=criterion)
        return Question(name, prompt.version, messages, OUTCOMES, sampling)

    return ask(AS_GIVEN, first, second), ask(SWAPPED, second, first)


def outcome_of(given: Verdict, swapped: Verdict) -> str | None:
    """Which text is better; None where a verdict is missing."""
    if given.label is None or swapped.label is None:
        return None
    return "tie" if flipped(given, swapped) else given.label


def flipped(given: Verdict, swapped: Verdict) -> bool:
    """Whether the two orders do not say the same; False where a verdict is missing."""
    if given.label is None or swapped.label is None:
        return False
    return given.label != _MIRRORED[swapped.label]


def picks_of(found: Iterable[Judgement]) -> Picks:
    """Count positions over the pairs whose two verdicts are there."""
    labels: Counter[str] = Counter()
    leaning: Counter[str] = Counter()
    flips = pairs = 0
    for judgement in found:
        said = [verdict.label for verdict in judgement.verdicts if verdict.label is not None]
        if judgement.kind != "pairwise" or len(said) != 2:
            continue
        pairs += 1
        labels.update(said)
        flips += flipped(*judgement.verdicts)
        firsts, seconds = said.count("A"), said.count("B")
        leaning.update(["first"] * (firsts > seconds) + ["second"] * (seconds > firsts))
    return Picks(
        first=labels["A"],
        second=labels["B"],
        ties=labels["tie"],
        leaning_first=leaning["first"],
        leaning_second=leaning["second"],
        flips=flips,
        pairs=pairs,
    )
