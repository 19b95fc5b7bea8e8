"""What experiments may conclude, at any time and however often one looks; pure."""

from deployments.experiments.statistics.contrast import Observation
from deployments.experiments.statistics.decision import Decision, Rule, decide
from deployments.experiments.statistics.difference import (
    Difference,
    DifferenceSequence,
    alpha_of_each,
)
from deployments.experiments.statistics.guardrail import RateGuard, WorseGuard
from deployments.experiments.statistics.planning import units_to_decision
from deployments.experiments.statistics.ratio import Phase, RatioCheck, check_ratio

__all__ = [
    "Decision",
    "Difference",
    "DifferenceSequence",
    "Observation",
    "Phase",
    "RateGuard",
    "RatioCheck",
    "Rule",
    "WorseGuard",
    "alpha_of_each",
    "check_ratio",
    "decide",
    "units_to_decision",
]
