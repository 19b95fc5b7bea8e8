"""What is known of a running experiment: made of its requests alone, the same after a restart.

Guardrails see every request as soon as its trace is written. The comparison takes one value of each
user, in the order in which requests began: that of the first request that has one. A user's later
requests depend on the answers before, so they are no new evidence. It waits equally long for each
request, whatever its arm: an arm must not be seen through its quick answers first.
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from deployments.experiments.arms import Arm
from deployments.experiments.plan import Fault, Guardrail, Plan
from deployments.experiments.requests import Seen, time_of

if TYPE_CHECKING:
    from deployments.experiments.statistics import (
        Decision,
        DifferenceSequence,
        RateGuard,
        RatioCheck,
        WorseGuard,
    )

__all__ = ["Breach", "Watch"]

_WRITTEN_S: Final = 1.0
"""From the end of a request to its trace in the records, at most, unless the database is slow."""
_SETTLED_S: Final = 2.0
"""From an arm's stop until no replica assigns users to it any more."""
_RECENT: Final = 20
_ENOUGH: Final = 5
_FAULTS: Final[tuple[Fault, ...]] = ("error", "empty", "refused")


@dataclass(frozen=True, slots=True)
class Breach:
    """A guardrail that an arm is shown to be beyond."""

    arm: str
    fault: Fault
    reason: str
    """A sentence with the numbers."""
    data: dict[str, Any]
    shared: bool
    """The control fares no better just now, so it is not the arm that is to blame."""


@dataclass(slots=True)
class _Count:
    """Requests of an arm by one fault."""

    requests: int = 0
    events: int = 0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, event: bool) -> None:
        self.requests += 1
        self.events += event
        self.recent.append(event)

    @property
    def rate(self) -> float | None:
        return self.events / self.requests if self.requests else None


@dataclass(slots=True)
class _Mean:
    count: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None


class _ArmWatch:
    """One arm's counts and guards."""

    def __init__(self, arm: Arm) -> None:
        self.arm: Final = arm
        self.requests = 0
        self.units = 0
        self.faults: Final = {fault: _Count() for fault in _FAULTS}
        self.mean: Final = _Mean()
        self.rate_guards: dict[Fault, RateGuard] = {}
        self.worse_guards: dict[Fault, WorseGuard] = {}
        self.sequence: DifferenceSequence | None = None
        self.stopped_at: float | None = None

    def live(self, at: float) -> bool:
        """Whether it had not been stopped at that time."""
        return self.stopped_at is None or at < self.stopped_at


class Watch:
    """Pure: takes requests and values, answers what they come to. Not safe for several threads."""

    def __init__(self, arms: Sequence[Arm], plan: Plan, started_at: float) -> None:
        self._plan: Final = plan
        self._started_at: Final = started_at
        self._arms: Final = {arm.name: _ArmWatch(arm) for arm in arms}
        self._control: Final = self._arms[arms[0].name]
        self._treated: Final = [
            one for one in self._arms.values() if one is not self._control and not one.arm.shadow
        ]
        self._known: set[str] = set()
        self._units: Final[dict[str, tuple[str, float]]] = {}
        self._observed: Final[set[tuple[str, str]]] = set()
        self._compared: Final[set[tuple[Fault, str]]] = set()
        self._pending: Final[list[tuple[str, Seen]]] = []
        self.late = 0
        """Requests that took longer than the metric waits."""
        self._make_guards()

    @property
    def units(self) -> int:
        """Users who have been in it."""
        return len(self._units)

    def stop(self, arm: str, at: float) -> None:
        """Take note that an arm was stopped at that time."""
        self._arms[arm].stopped_at = at

    def see(self, requests: Sequence[Seen]) -> None:
        """Take requests; those that are known already are passed over."""
        for one in requests:
            if one.id in self._known or one.arm not in self._arms:
                continue
            self._known.add(one.id)
            watch, began = self._arms[one.arm], time_of(one.id)
            if not one.counts or not watch.live(began):
                continue
            watch.requests += 1
            if not one.shadow and one.unit not in self._units:
                self._units[one.unit] = (one.arm, began)
                watch.units += 1
            self._guard(watch, one)
            if one.latency_ms <= self._plan.metric.waits * 1000:
                heapq.heappush(self._pending, (one.id, one))
            else:
                self.late += 1

    def forget_before(self, trace_id: str) -> None:
        """Requests below this id are not read any more: they need not be known."""
        self._known = {known for known in self._known if known >= trace_id}

    def due(self, at: float) -> list[Seen]:
        """Requests whose wait is over and whose user has no value yet, in their order."""
        found = []
        until = at - self._plan.metric.waits - _WRITTEN_S
        while self._pending and time_of(self._pending[0][0]) <= until:
            one = heapq.heappop(self._pending)[1]
            if (one.arm, one.unit) not in self._observed:
                found.append(one)
        return found

    def wait_again(self, due: Sequence[Seen]) -> None:
        """Put requests back whose values could not be read."""
        for one in due:
            heapq.heappush(self._pending, (one.id, one))

    def settle(self, due: Sequence[Seen], values: Mapping[str, float]) -> None:
        """Take the values of requests that were due, by their traces' ids."""
        from deployments.experiments.statistics import Observation

        for one in due:
            key, watch = (one.arm, one.unit), self._arms[one.arm]
            if one.id not in values or key in self._observed:
                continue
            self._observed.add(key)
            value = self._plan.metric.clipped(values[one.id])
            watch.mean.add(value)
            if one.shadow:
                continue
            for treated in self._compared_with(watch, time_of(one.id)):
                if treated.sequence is not None:
                    seen = Observation(treated is watch, value, self._share(treated))
                    treated.sequence.update([seen])

    def breaches(self) -> list[Breach]:
        """Guardrails that live arms are beyond. A shared one starts anew for all arms."""
        found: list[Breach] = []
        for watch in self._arms.values():
            if watch is self._control or watch.stopped_at is not None:
                continue
            for guardrail in self._plan.guardrails:
                breach = self._breach(watch, guardrail)
                if breach is not None:
                    found.append(breach)
                    break
        for fault in {breach.fault for breach in found if breach.shared}:
            self._make_guards(fault)
        return found

    def ratio(self) -> "RatioCheck":
        """Whether users are split as the weights say."""
        from deployments.experiments.statistics import Phase, check_ratio

        stops = sorted(w.stopped_at for w in self._arms.values() if w.stopped_at is not None)
        edges = [self._started_at - _SETTLED_S, *stops]
        counts: list[dict[str, int]] = [{} for _ in edges]
        for arm, began in self._units.values():
            phase = max(place for place, edge in enumerate(edges) if place == 0 or edge <= began)
            if phase and began < edges[phase] + _SETTLED_S:
                continue
            counts[phase][arm] = counts[phase].get(arm, 0) + 1
        phases = [
            Phase(found, self._weights_at(edge)) for found, edge in zip(counts, edges, strict=True)
        ]
        return check_ratio(phases)

    def decide(self, *, ratio_alarm: bool) -> "Decision":
        """What the comparison comes to."""
        from deployments.experiments.statistics import Rule, decide

        metric = self._plan.metric
        rule = Rule(
            margin=self._plan.min_effect,
            max_units=self._plan.max_units,
            higher_is_better=metric.higher_is_better,
        )
        live = {
            watch.arm.name: watch.sequence.difference
            for watch in self._treated
            if watch.stopped_at is None and watch.sequence is not None
        }
        return decide(live, rule, ratio_alarm=ratio_alarm)

    def report(self, ratio: "RatioCheck", decision: "Decision") -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "units": self.units,
            "requests": sum(watch.requests for watch in self._arms.values()),
            "observed": sum(watch.mean.count for watch in self._arms.values()),
            "late": self.late,
            "expected_units": self._expected_units(),
            "arms": [self._arm_report(watch) for watch in self._arms.values()],
            "sample_ratio": {
                "alarm": ratio.alarm,
                "p_value": ratio.p_value,
                "counts": dict(ratio.counts),
                "expected": dict(ratio.expected),
            },
            "standings": dict(decision.standings),
            "outcome": decision.outcome,
            "reason": decision.reason,
        }

    def _arm_report(self, watch: _ArmWatch) -> dict[str, Any]:
        return {
            "name": watch.arm.name,
            "shadow": watch.arm.shadow,
            "stopped": watch.stopped_at is not None,
            "units": watch.units,
            "requests": watch.requests,
            "observed": watch.mean.count,
            "mean": watch.mean.value,
            "rates": {fault: count.rate for fault, count in watch.faults.items()},
            "difference": None if watch.sequence is None else asdict(watch.sequence.difference),
        }

    def _expected_units(self) -> int | None:
        """Users that it takes to be certain of `min_effect`; None before there is a spread."""
        from deployments.experiments.statistics import units_to_decision

        rate = self._control.mean.value
        if rate is None or not self._treated:
            return None
        metric = self._plan.metric
        span = metric.top - metric.low
        place = (rate - metric.low) / span
        deviation = span * max(0.05, (place * (1 - place)) ** 0.5)  # at most, for a bounded value
        alpha, arm = self._alpha_of_each(), self._treated[0]
        pair = units_to_decision(
            self._plan.min_effect, deviation, alpha=alpha, share=self._share(arm)
        )
        total = sum(w.arm.weight for w in self._arms.values() if not w.arm.shadow)
        return round(pair * total / (arm.arm.weight + self._control.arm.weight))

    def _make_guards(self, only: Fault | None = None) -> None:
        from deployments.experiments.statistics import DifferenceSequence, RateGuard, WorseGuard

        alpha = self._plan.guardrail_alpha
        for watch in self._arms.values():
            for guardrail in self._plan.guardrails:
                if only in {None, guardrail.fault} and watch is not self._control:
                    if guardrail.max_rate is not None:
                        watch.rate_guards[guardrail.fault] = RateGuard(guardrail.max_rate, alpha)
                    if guardrail.max_increase is not None and not watch.arm.shadow:
                        watch.worse_guards[guardrail.fault] = WorseGuard(
                            guardrail.max_increase, alpha, higher_is_better=False
                        )
        if only is None:
            metric = self._plan.metric
            for watch in self._treated:
                watch.sequence = DifferenceSequence(
                    self._alpha_of_each(), lowest=metric.low, highest=metric.top
                )

    def _alpha_of_each(self) -> float:
        from deployments.experiments.statistics import alpha_of_each

        return alpha_of_each(self._plan.alpha, max(1, len(self._treated)))

    def _guard(self, watch: _ArmWatch, one: Seen) -> None:
        from deployments.experiments.statistics import Observation

        for fault, count in watch.faults.items():
            event = one.fault(fault)
            if event is None:
                continue
            count.add(event)
            if fault in watch.rate_guards:
                watch.rate_guards[fault].update([event])
            if one.shadow or (fault, one.unit) in self._compared:
                continue
            self._compared.add((fault, one.unit))
            for treated in self._compared_with(watch, time_of(one.id)):
                if fault in treated.worse_guards:
                    seen = Observation(treated is watch, float(event), self._share(treated))
                    treated.worse_guards[fault].update([seen])

    def _compared_with(self, watch: _ArmWatch, began: float) -> list[_ArmWatch]:
        """Arms whose comparison with the control a request of `watch` takes part in."""
        if watch is self._control:
            return [treated for treated in self._treated if treated.live(began)]
        return [watch]

    def _share(self, treated: _ArmWatch) -> float:
        weight = treated.arm.weight
        return weight / (weight + self._control.arm.weight)

    def _weights_at(self, at: float) -> dict[str, float]:
        return {
            name: watch.arm.weight
            for name, watch in self._arms.items()
            if not watch.arm.shadow and watch.live(at)
        }

    def _breach(self, watch: _ArmWatch, guardrail: Guardrail) -> Breach | None:
        fault, count = guardrail.fault, watch.faults[guardrail.fault]
        rate, worse = watch.rate_guards.get(fault), watch.worse_guards.get(fault)
        ours = self._control.faults[fault]
        data: dict[str, Any] = {
            "fault": fault,
            "events": count.events,
            "of": count.requests,
            "requests": watch.requests,
            "control_events": ours.events,
            "control_of": ours.requests,
        }
        shown = f"{_SAID[fault]} in {count.events} of {count.requests} requests"
        if rate is not None and rate.stopped_at is not None:
            bound = f"the bound is {guardrail.max_rate:.0%}"
            data |= {"max_rate": guardrail.max_rate, "p_value": rate.p_value}
            shared = self._also_control(fault, float(guardrail.max_rate or 0))
            return Breach(watch.arm.name, fault, f"{shown}; {bound}.", data, shared)
        if worse is not None and worse.stopped_at is not None:
            share = f"{ours.rate:.0%}" if ours.rate is not None else "none"
            data |= {"max_increase": guardrail.max_increase, "p_value": worse.p_value}
            bound = f"the control: {share}; allowed is {guardrail.max_increase:.0%} more"
            return Breach(watch.arm.name, fault, f"{shown}; {bound}.", data, shared=False)
        return None

    def _also_control(self, fault: Fault, max_rate: float) -> bool:
        recent = self._control.faults[fault].recent
        return len(recent) >= _ENOUGH and sum(recent) / len(recent) > max_rate


_SAID: Final[dict[Fault, str]] = {
    "error": "errors",
    "empty": "empty answers",
    "refused": "refusals",
}
