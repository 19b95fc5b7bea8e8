"""One look: two windows in, a report out. Pure, blocking, and on one thread of the libraries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from deployments.drift.plan import EMBEDDED, SCALARS, MonitorPlan, ScalarName, SignalName
from deployments.drift.report import LookReport, SignalReport, TopicReport, WindowReport
from deployments.drift.rule import Decision, Persistence, Rule, decide, level
from deployments.drift.signals import Observed, values_of
from deployments.drift.topics import topics_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deployments.drift.domain import PreparedReference

__all__ = ["Window", "judge_signals", "look", "looks_a_month", "plan_rule"]

_FEWEST: Final = 30
"""Values of each side under which a signal says nothing."""
_DAY_S: Final = 86_400
_MONTH_S: Final = 30 * _DAY_S
_MOST_PERMUTATIONS: Final = 20_000
_SMALL, _LARGE = 0.1, 0.25
_EXTRA: Final = 2.0
"""Times the permutations that could just show the level."""


@dataclass(frozen=True)
class Window:
    """Requests, in the order in which they came."""

    requests: Sequence[Observed]
    vectors: "NDArray[Any] | None"
    """Of the requests that have a question, in their order; None: not embedded."""
    total: int
    """Requests that there were; more than are here where they are sampled."""

    @property
    def asked(self) -> list[Observed]:
        """Requests with a question."""
        return [one for one in self.requests if one.question is not None]

    def report(self) -> WindowReport:
        """Which requests these are."""
        return WindowReport(
            requests=self.total,
            looked_at=len(self.requests),
            begin=self.requests[0].at,
            end=self.requests[-1].at,
            first_trace=self.requests[0].trace_id,
            last_trace=self.requests[-1].trace_id,
        )


def look(
    reference: Window,
    current: Window,
    plan: MonitorPlan,
    state: Persistence,
    *,
    seed: int,
    streak: Window | None = None,
) -> tuple[LookReport, Decision]:
    """Compare `current` with `reference`, neither of them empty.

    `streak` holds the looks' windows that were out of bounds in a row, this one included: topics
    are told of more questions then.
    """
    from threadpoolctl import threadpool_limits

    looks = looks_a_month(plan, reference, current)
    rule = plan_rule(plan, looks, len(current.requests), len(reference.requests))
    with threadpool_limits(limits=1):
        signals = judge_signals(reference, current, plan, rule, seed=seed)
        topics = _topics(reference, streak or current, seed)
    decision = decide(
        state, {one.name: one.p_value for one in signals if one.p_value is not None}, rule
    )
    signals = [
        one.model_copy(
            update={
                "level": rule.levels[one.name],
                "out": one.name in decision.out,
                "looks_out": decision.state.out.get(one.name, 0),
            }
        )
        for one in signals
    ]
    report = LookReport(
        reference=reference.report(),
        current=current.report(),
        looks_a_month=looks,
        persistence=plan.persistence,
        signals=signals,
        topics=topics,
        action=decision.action,
        out=list(decision.out),
        persisted=list(decision.persisted),
        summary=_summary(decision, topics, plan.persistence),
    )
    return report, decision


def looks_a_month(plan: MonitorPlan, reference: Window, current: Window) -> float:
    """At the pace of both windows; what came within hours is taken for a day's traffic."""
    windows = reference, current
    span = sum(one.requests[-1].at - one.requests[0].at for one in windows)
    pace = sum(one.total for one in windows) / max(span, _DAY_S)
    by_requests = pace * _MONTH_S / plan.schedule.every_requests
    by_time = 0.0 if plan.schedule.every_s is None else _MONTH_S / plan.schedule.every_s
    return max(1.0, by_requests, by_time)


def plan_rule(plan: MonitorPlan, looks: float, current: int, reference: int) -> Rule:
    """The rule at which a stable month keeps the plan's share of false alarms."""
    families = [
        [name for name in plan.signals if (name in EMBEDDED) is embedded]
        for embedded in (True, False)
    ]
    watched = [family for family in families if family]
    levels: dict[str, float] = {}
    for family in watched:
        own = level(
            plan.false_alarms / len(watched),
            looks_a_month=looks,
            signals=len(family),
            looks=plan.persistence,
            shared=current / (current + reference),
        )
        levels.update(dict.fromkeys(family, own))
    return Rule(levels, plan.persistence, calm_looks=plan.calm_looks)


def judge_signals(
    reference: Window,
    current: Window,
    plan: MonitorPlan,
    rule: Rule,
    *,
    seed: int,
    prepared: "PreparedReference | None" = None,
) -> list[SignalReport]:
    """Test each signal of the plan; `prepared`: the reference's embeddings, where known already."""
    needed = math.ceil(_EXTRA / min(rule.levels.values()))
    permutations = min(_MOST_PERMUTATIONS, max(plan.permutations, needed))
    found = []
    for number, name in enumerate(plan.signals):
        own_seed = seed + number
        if name in SCALARS:
            found.append(_scalar(name, reference, current, permutations, own_seed))
        else:
            found.append(_embedded(name, reference, current, permutations, own_seed, prepared))
    return found


def _embedded(
    name: SignalName,
    reference: Window,
    current: Window,
    permutations: int,
    seed: int,
    prepared: "PreparedReference | None",
) -> SignalReport:
    from deployments.drift.domain import domain_classifier, prepare_reference
    from deployments.drift.mmd import mmd

    test: Literal["domain classifier", "MMD"] = "MMD" if name == "mmd" else "domain classifier"
    counts = {
        "reference_requests": len(reference.asked),
        "current_requests": len(current.asked),
    }
    if min(counts.values()) < _FEWEST:
        return SignalReport(name=name, test=test, note=_too_few("a question"), **counts)
    assert reference.vectors is not None  # noqa: S101 - what is asked for is embedded
    assert current.vectors is not None  # noqa: S101
    if name == "mmd":
        apart = mmd(reference.vectors, current.vectors, permutations=permutations, seed=seed)
        return SignalReport(
            name=name, test=test, value=apart.value, p_value=apart.p_value, **counts
        )
    prepared = prepared or prepare_reference(reference.vectors, seed)
    told = domain_classifier(prepared, current.vectors, permutations=permutations, seed=seed)
    return SignalReport(
        name=name,
        test=test,
        value=told.auc,
        p_value=told.p_value,
        note=f"{told.share:.1%} of neighbours are current; {told.expected:.1%} is usual.",
        **counts,
    )


def _scalar(
    name: ScalarName, reference: Window, current: Window, permutations: int, seed: int
) -> SignalReport:
    from deployments.drift.psi import psi

    before, now = values_of(reference.requests, name), values_of(current.requests, name)
    counts = {"reference_requests": len(before), "current_requests": len(now)}
    if min(counts.values()) < _FEWEST:
        return SignalReport(name=name, test="PSI", note=_too_few("it"), **counts)
    found = psi(before, now, permutations=permutations, seed=seed)
    return SignalReport(
        name=name,
        test="PSI",
        value=found.value,
        p_value=found.p_value,
        size="small" if found.value < _SMALL else "medium" if found.value < _LARGE else "large",
        reference_mean=float(before.mean()),
        current_mean=float(now.mean()),
        **counts,
    )


def _topics(reference: Window, current: Window, seed: int) -> list[TopicReport]:
    if reference.vectors is None or current.vectors is None:
        return []
    if min(len(reference.vectors), len(current.vectors)) < _FEWEST:
        return []
    return topics_of(reference.asked, current.asked, reference.vectors, current.vectors, seed=seed)


def _too_few(what: str) -> str:
    return f"Fewer than {_FEWEST} requests of a window have {what}."


def _summary(decision: Decision, topics: Sequence[TopicReport], persistence: int) -> str:
    if not decision.out:
        return "Nothing is out of bounds."
    said = f"Out of bounds: {', '.join(decision.out)}"
    if decision.persisted:
        said += f"; for {persistence} looks or more: {', '.join(decision.persisted)}"
    said += "."
    moved = [one for one in topics if one.moved != "no"]
    for one in moved[:3]:
        worse = {"fell": ", and its answers became worse"}.get(one.quality_verdict, "")
        said += (
            f" Topic {one.number} ({', '.join(one.keywords)}) {one.moved} from "
            f"{one.reference_share:.1%} to {one.current_share:.1%}{worse}."
        )
    return said
