"""An answer on its way out: held back only as long as it takes to decide what may be shown.

Guards that mask or block see each piece before it leaves. What is already decided goes out at once;
what may yet become a find, a key whose first half has come, waits for the rest, at most
`look_ahead` characters. Guards that only flag read the whole once it is over.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from deployments.guards.masking import masked_text
from deployments.guards.pipeline import ArmedCheck, Guards, Screened
from deployments.guards.verdict import GuardText, Span, Verdict

__all__ = ["OutputScreen"]

_CONTEXT: Final = 200
"""Characters before a piece that are read with it: what a number is, words before it say."""
_VALUE: Final = re.compile(r"[^\s\"'`<>{}()\[\],;]*")
_KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]*-----")
_KEY_END_LENGTH: Final = 64


@dataclass(slots=True, eq=False)
class OutputScreen:
    """One answer, or one choice of it. Feed its pieces in order, then finish."""

    guards: Guards
    blocked: tuple[str, ...] = ()
    """Categories that forbid the rest; nothing is shown any more."""
    _verdicts: dict[str, Verdict] = field(default_factory=dict)
    _shown: list[str] = field(default_factory=list)
    _before: str = ""
    _held: str = ""
    _growing: str | None = None
    """Kind of a find that was too long to wait for its end: what follows of it is left out."""
    _holding: Guards = field(init=False)
    _judging: Guards = field(init=False)
    """Those that read the whole, once it is over."""

    def __post_init__(self) -> None:
        self._holding = self.guards.chosen(_holds)
        self._judging = self.guards.chosen(lambda a: bool(a.acts("output")) and not _holds(a))

    async def feed(self, piece: str) -> str:
        """Take the next piece; return what may be shown now."""
        if self.blocked:
            return ""
        if not self._holding.at("output"):
            return self._show(self._written(piece, ()))
        self._held += piece
        self._leave_out()
        if self._growing is not None or not self._held:
            return ""
        text, shown = self._before + self._held, len(self._before)
        decided = min(a.check.undecided(text) for a in self._holding.at("output"))
        late = len(text) - self.guards.look_ahead
        cut = max(shown, decided, late)
        return await self._release(text, cut, too_long=late > decided) if cut > shown else ""

    async def finish(self) -> str:
        """Return what was held back, once the answer is whole."""
        last = ""
        if self._growing is not None:
            self._held = ""
        if self._held and not self.blocked:
            text = self._before + self._held
            last = await self._release(text, len(text), is_last=True)
        if not self.blocked:
            whole = GuardText("".join(self._shown))
            screened = await self._judging.screen("output", [whole])
            self._note(screened.verdicts)
            self.blocked = screened.blocked
        return "" if self.blocked else last

    async def whole(self, text: str) -> str:
        """Take an answer that is all there; return what may be shown of it."""
        shown = ""
        if self._holding.at("output"):
            self._held = text
        else:
            shown = self._show(self._written(text, ()))
        shown += await self.finish()
        return "" if self.blocked else shown

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What each guard decided so far."""
        return tuple(self._verdicts.values())

    def _written(self, text: str, spans: Sequence[Span]) -> str:
        """`text`, which goes out next, as it is shown. Called once for each piece, in order."""
        return masked_text(text, spans)

    def _fitting(self, text: str, shown: int, cut: int) -> int:
        """Where `text` may be cut, at `cut` or before it, but not before `shown`."""
        del text, shown
        return cut

    async def _release(
        self, text: str, cut: int, *, too_long: bool = False, is_last: bool = False
    ) -> str:
        """Show `text` up to `cut`, of which `_before` has been shown.

        A find across `cut` waits for its end; where that is `too_long`, its mask goes out.
        """
        shown = len(self._before)
        screened = await self._holding.screen("output", [GuardText(text)])
        spans = self._hidden(screened)
        for span in spans:
            if span.start < cut < span.end:
                if too_long:
                    self._growing, cut = span.kind, span.end
                else:
                    cut = max(shown, span.start)
        if self._growing is None and not is_last:
            cut = self._fitting(text, shown, cut)
        self._note(screened.verdicts, shown, cut)
        if screened.blocked:
            self.blocked, self._held = screened.blocked, ""
            return ""
        here = [
            Span(max(span.start, shown) - shown, span.end - shown, span.kind)
            for span in spans
            if span.end > shown and span.start < cut
        ]
        self._before, self._held = text[max(0, cut - _CONTEXT) : cut], text[cut:]
        return self._show(self._written(text[shown:cut], here))

    def _hidden(self, screened: Screened) -> list[Span]:
        armed = {a.check.name: a for a in self._holding.at("output")}
        found = [
            span
            for verdict in screened.verdicts
            for _, span in verdict.spans
            if armed[verdict.guard].hides(span, "output")
        ]
        return sorted(found, key=lambda span: span.start)

    def _leave_out(self) -> None:
        """Drop what still belongs to a find whose mask has gone out."""
        if self._growing == "PRIVATE_KEY":
            end = _KEY_END.search(self._held)
            if end is None:
                self._held = self._held[-_KEY_END_LENGTH:]
                return
            self._held, self._growing = self._held[end.end() :], None
        elif self._growing is not None:
            rest = _VALUE.match(self._held)
            size = rest.end() if rest else 0
            if size < len(self._held):
                self._growing = None
            self._held = self._held[size:]

    def _show(self, text: str) -> str:
        self._shown.append(text)
        return text

    def _note(self, verdicts: tuple[Verdict, ...], start: int = 0, end: int | None = None) -> None:
        """Add up what guards decided of a piece; finds outside it were or will be counted."""
        for verdict in verdicts:
            spans = verdict.spans
            if end is not None:
                spans = tuple(s for s in spans if s[1].end > start and s[1].start < end)
            if verdict.spans and not spans and verdict.action != "block":
                verdict = replace(verdict, action="pass", score=0.0, categories=(), texts=())
            self._verdicts[verdict.guard] = _added(
                self._verdicts.get(verdict.guard), replace(verdict, spans=spans)
            )


def _holds(armed: ArmedCheck) -> bool:
    """Whether a guard must see a piece before it is shown."""
    return bool(armed.acts("output") & {"mask", "block"}) and not armed.check.needs_whole


def _added(one: Verdict | None, other: Verdict) -> Verdict:
    if one is None:
        return other
    stricter = other if other.action not in {"pass", one.action} else one
    more: Mapping[str, Any] = {**one.more, **other.more}
    return replace(
        stricter,
        score=max(one.score, other.score),
        categories=tuple(dict.fromkeys((*one.categories, *other.categories))),
        spans=(*one.spans, *other.spans),
        texts=tuple(dict.fromkeys((*one.texts, *other.texts))),
        ms=one.ms + other.ms,
        failure=one.failure or other.failure,
        more=dict(more),
    )
