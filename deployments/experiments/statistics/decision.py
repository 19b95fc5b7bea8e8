"""What an experiment comes to, by what is known of its arms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deployments.experiments.statistics.difference import Difference

__all__ = ["Decision", "Outcome", "Rule", "Standing", "decide", "standing_of"]

Outcome = Literal["continue", "winner", "control", "equivalent", "undecided", "blocked"]
Standing = Literal["better", "worse", "equivalent", "open"]


@dataclass(frozen=True, slots=True)
class Rule:
    """When an experiment is over. All on the scale of the score."""

    min_effect: float = 0.0
    """An arm wins that is better than the control by more than this."""
    margin: float | None = None
    """An arm is equivalent whose difference is surely within this on both sides; None: never."""
    max_units: int | None = None
    """Units of all arms together at which it ends without a winner; None: never."""
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError for what makes no sense."""
        if not self.min_effect >= 0:
            raise ValueError(f"min_effect is {self.min_effect}; 0 is the least")
        if self.margin is not None and not self.margin > 0:
            raise ValueError(f"margin is {self.margin}; it has to be above 0")
        if self.max_units is not None and self.max_units < 1:
            raise ValueError(f"max_units is {self.max_units}; 1 is the least")


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome, and what it rests on."""

    outcome: Outcome
    """winner: `arm` beats the control. control: every arm is worse, or was stopped. equivalent: no
    arm is better, and at least one as good. undecided: the units are used up. blocked: the sample
    ratio is off, so nothing may win. continue: too early to say."""
    arm: str | None
    """The winner; None with every other outcome."""
    standings: Mapping[str, Standing]
    """Of each arm against the control."""
    dropped: tuple[str, ...]
    """Arms that are worse than the control and need no more traffic, whatever the outcome."""
    reason: str
    """A sentence for people."""


def decide(
    differences: Mapping[str, Difference], rule: Rule, *, ratio_alarm: bool = False
) -> Decision:
    """Decide by each arm's difference to the control; arms that were stopped are left out.

    The sequences' alphas have to sum to what may be erred in all (`difference.alpha_of_each`); then
    a winner that is no better than the control has at most that chance, however often one asks. Of
    several arms that beat the control the one with the best estimate wins; that it beats the other
    arms is not claimed.
    """
    standings = {arm: standing_of(one, rule) for arm, one in differences.items()}
    dropped = tuple(arm for arm, standing in standings.items() if standing == "worse")

    def decision(outcome: Outcome, reason: str, arm: str | None = None) -> Decision:
        return Decision(outcome, arm, standings, dropped, reason)

    if ratio_alarm:
        return decision(
            "blocked", "The arms did not get the units they were meant to get: nothing may win."
        )
    better = [arm for arm, standing in standings.items() if standing == "better"]
    if better:
        best = max(better, key=lambda arm: _gain(differences[arm], rule)[0])
        return decision("winner", _won(best, differences[best], rule), best)
    left = {standing for standing in standings.values() if standing != "worse"}
    if not left:
        return decision("control", "No arm is left that could be better than the control.")
    if left == {"equivalent"}:
        return decision("equivalent", f"No difference to the control above {rule.margin:g}.")
    units = _units(differences)
    if rule.max_units is not None and units >= rule.max_units:
        return decision("undecided", f"No arm has won after {units} units.")
    return decision("continue", f"Nothing is certain yet after {units} units.")


def standing_of(one: Difference, rule: Rule) -> Standing:
    """How an arm stands against the control."""
    _, low, high = _gain(one, rule)
    if low > rule.min_effect:
        return "better"
    if high < 0:
        return "worse"
    if rule.margin is not None and -rule.margin < low and high < rule.margin:
        return "equivalent"
    return "open"


def _gain(one: Difference, rule: Rule) -> tuple[float, float, float]:
    """Estimate, low and high, turned so that more is better."""
    middle = one.estimate or 0.0
    if rule.higher_is_better:
        return middle, one.low, one.high
    return -middle, -one.high, -one.low


def _won(arm: str, one: Difference, rule: Rule) -> str:
    middle, low, high = _gain(one, rule)
    return f"{arm} is better than the control by {middle:.3g} (surely {low:.3g} to {high:.3g})."


def _units(differences: Mapping[str, Difference]) -> int:
    """Of all arms; the control is counted once."""
    control = max(one.n_control for one in differences.values())
    return control + sum(one.n_treatment for one in differences.values())
