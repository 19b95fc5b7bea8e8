"""The guards of one policy: run over the texts of one place, timed, and what follows from them."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from deployments.guards.check import Check, FollowUpCheck
from deployments.guards.checks.schema import SchemaCheck
from deployments.guards.json_text import json_view, masked_json
from deployments.guards.masking import masked_text
from deployments.guards.verdict import Action, Finding, GuardText, Place, Span, Verdict

__all__ = ["ArmedCheck", "Guards", "Screened"]

_log = logging.getLogger(__name__)
_STRICTNESS: Final[tuple[Action, ...]] = ("pass", "flag", "mask", "drop", "block")
_CLOSED: Final[Mapping[Place, Action]] = {"input": "block", "passages": "drop", "output": "block"}
_REWRITING: Final = frozenset({"mask", "block"})
_USUAL: Final = 4_000
"""Characters of a text that a guard's budget is meant for."""
_PATIENCE: Final = 10.0
"""So many times its budget a guard has for a long text at most."""
_LONGEST: Final = 1_000_000
"""Characters of a text that is looked at."""


@dataclass(frozen=True, slots=True)
class ArmedCheck:
    """A check, and what follows where it finds something."""

    check: Check
    threshold: float
    budget_s: float
    """For texts of up to 4,000 characters; for longer ones in proportion, at most ten times it."""
    actions: Mapping[Place, Action]
    """By place; at the places that are missing it is off."""
    fails_closed: bool = False
    kinds: Mapping[str, Action] = field(default_factory=dict)
    """By kind of span, where that differs; `pass` lets it be."""

    def acts(self, place: Place) -> frozenset[Action]:
        """What it may do there; empty where it is off."""
        if place not in self.actions:
            return frozenset()
        closed = {_CLOSED[place]} if self.fails_closed else set()
        return frozenset({self.actions[place], *self._by_kind(place).values(), *closed})

    def rewrites(self, place: Place) -> bool:
        """Whether it may mask or block there because of what it finds."""
        return bool(_REWRITING & {self.actions[place], *self._by_kind(place).values()})

    def decide(self, finding: Finding, place: Place) -> tuple[Action, tuple[Span, ...]]:
        """What follows from a finding, and the spans that count."""
        if finding.score < self.threshold:
            return "pass", ()
        usual, kinds = self.actions[place], self._by_kind(place)
        if not finding.spans:
            return usual, ()
        spans = tuple(s for s in finding.spans if kinds.get(s.kind, usual) != "pass")
        return _strictest([kinds.get(span.kind, usual) for span in spans]), spans

    def hides(self, span: Span, place: Place) -> bool:
        """Whether what stands there must not be shown nor kept."""
        return self._by_kind(place).get(span.kind, self.actions[place]) in _REWRITING

    def _by_kind(self, place: Place) -> dict[str, Action]:
        if place != "passages":
            return dict(self.kinds)
        return {k: "drop" if action == "block" else action for k, action in self.kinds.items()}


@dataclass(frozen=True, slots=True)
class Screened:
    """Texts after their guards."""

    texts: tuple[str, ...]
    """With what must not be shown masked, also in texts that are blocked."""
    dropped: frozenset[int]
    """Numbers of those to leave out."""
    blocked: tuple[str, ...]
    """Categories that forbid the whole; empty: it may go on."""
    verdicts: tuple[Verdict, ...]


class Guards:
    """The guards of one policy."""

    def __init__(
        self, armed: Sequence[ArmedCheck], look_ahead: int = 256, *, is_warm: bool = False
    ) -> None:
        self._armed: Final = tuple(armed)
        places: tuple[Place, ...] = ("input", "passages", "output")
        self._at: Final = {place: tuple(a for a in armed if a.acts(place)) for place in places}
        self.look_ahead: Final = look_ahead
        self.is_warm = is_warm
        """Whether what the guards need is loaded."""

    def at(self, place: Place) -> tuple[ArmedCheck, ...]:
        """Those that are on at a place."""
        return self._at[place]

    def chosen(self, wanted: Callable[[ArmedCheck], bool]) -> "Guards":
        """Those that are `wanted`."""
        return self._with([armed for armed in self._armed if wanted(armed)])

    def demanding(self, schema: Mapping[str, Any] | bool | None) -> "Guards":
        """The same, where the answer must be JSON of `schema`."""
        if schema is None:
            return self
        check = SchemaCheck(schema)
        armed = [replace(a, check=check) if a.check.name == check.name else a for a in self._armed]
        return self._with(armed)

    def rewrites(self, place: Place) -> bool:
        """Whether one may change a text, or keep it from being kept."""
        return any(armed.rewrites(place) for armed in self.at(place))

    async def warm_up(self) -> None:
        """Load what the guards need, before the first request is timed."""
        if self.is_warm:
            return
        for armed in self._armed:
            await armed.check.warm_up()
        self.is_warm = True

    async def screen(self, place: Place, texts: Sequence[GuardText]) -> Screened:
        """Run all that are on at `place`, each within its budget; those that wait, together.

        Of a text of more than a million characters they say nothing: a check that failed.
        What is not loaded yet is loaded first; no budget counts that.
        """
        await self.warm_up()
        on = self.at(place)
        read = [replace(t, text=json_view(t.text)) if t.is_json else t for t in texts]
        if len(on) == 1:  # as for each piece of a stream
            judged = [await self._judge(on[0], place, read)]
        else:
            judged = await asyncio.gather(*(self._judge(one, place, read) for one in on))
        hidden: list[list[Span]] = [[] for _ in texts]
        for armed, verdict in judged:
            for number, span in verdict.spans:
                if armed.hides(span, place):
                    hidden[number].append(span)
        verdicts = tuple(verdict for _, verdict in judged)
        return Screened(
            tuple(_masked(text, spans) for text, spans in zip(texts, hidden, strict=True)),
            frozenset(n for v in verdicts if v.action == "drop" for n in v.texts),
            _categories(verdicts, "block"),
            verdicts,
        )

    def _with(self, armed: Sequence[ArmedCheck]) -> "Guards":
        return Guards(armed, self.look_ahead, is_warm=self.is_warm)

    async def _judge(
        self, armed: ArmedCheck, place: Place, texts: Sequence[GuardText]
    ) -> tuple[ArmedCheck, Verdict]:
        """Look at all texts. One that waits or fails does not keep the others from being read."""
        check = armed.check
        read = [n for n, text in enumerate(texts) if text.source in check.sources and text.text]
        found: dict[int, Finding] = {}

        async def look(number: int) -> None:
            found[number] = await _found(check, texts[number], place)

        started = time.perf_counter()
        try:
            async with asyncio.timeout(_allowed_s(armed, [texts[n] for n in read])):
                if len(read) == 1:
                    await look(read[0])
                elif read:
                    await asyncio.gather(*map(look, read))
        except TimeoutError:
            late = {n: Finding(failure="over_budget") for n in read if n not in found}
            found |= late
        ms = (time.perf_counter() - started) * 1000
        return armed, _verdict(armed, place, found, ms)


def _allowed_s(armed: ArmedCheck, texts: Sequence[GuardText]) -> float:
    longest = max((len(text.text) for text in texts), default=0)
    return armed.budget_s * min(_PATIENCE, max(1.0, longest / _USUAL))


async def _found(check: Check, text: GuardText, place: Place) -> Finding:
    if len(text.text) > _LONGEST:
        return Finding(failure="text_too_long")
    try:
        if text.before and isinstance(check, FollowUpCheck):
            return await check.find_after(text.before, text.text, place)
        return await check.find(text.text, place)
    except TimeoutError:
        return Finding(failure="over_budget")
    except Exception as error:  # noqa: BLE001 - a guard's edge: its policy says what follows
        _log.warning("The guard %s failed at %s", check.name, place, exc_info=True)
        return Finding(failure=type(error).__name__)


def _masked(text: GuardText, spans: Sequence[Span]) -> str:
    if not text.is_json or not spans:
        return masked_text(text.text, spans)
    return masked_json(json_view(text.text), spans)


def _verdict(
    armed: ArmedCheck, place: Place, findings: Mapping[int, Finding], ms: float
) -> Verdict:
    findings = dict(sorted(findings.items()))
    decided = {n: armed.decide(f, place) for n, f in findings.items() if f.failure is None}
    acted = [number for number, (action, _) in decided.items() if action != "pass"]
    actions: list[Action] = [action for action, _ in decided.values()]
    categories = {c: None for n in acted for c in findings[n].categories}
    failures = {n: f.failure for n, f in findings.items() if f.failure is not None}
    failure = next(iter(failures.values()), None)
    if failure is not None and armed.fails_closed:
        acted, categories[armed.check.name] = sorted({*acted, *failures}), None
        actions.append(_CLOSED[place])
    more: dict[str, Any] = {"fails": "closed" if armed.fails_closed else "open"} if failure else {}
    return Verdict(
        armed.check.name,
        place,
        _strictest(actions),
        max((found.score for found in findings.values()), default=0.0),
        tuple(categories),
        tuple((number, span) for number, (_, spans) in decided.items() for span in spans),
        tuple(acted),
        ms,
        failure,
        more,
    )


def _strictest(actions: Sequence[Action]) -> Action:
    return max(actions, key=_STRICTNESS.index, default="pass")


def _categories(verdicts: Sequence[Verdict], action: Action) -> tuple[str, ...]:
    found = {c: None for v in verdicts if v.action == action for c in v.categories}
    return tuple(found)
