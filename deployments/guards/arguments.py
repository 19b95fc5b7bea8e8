"""The arguments of a tool call on their way out: as an answer, but they stay JSON.

Where a mask goes out before its find has ended, the rest is left out up to the end of the string.
"""

from collections.abc import Sequence
from typing import Final

from deployments.guards.json_text import JsonReader, json_tokens, masked_json
from deployments.guards.pipeline import Guards
from deployments.guards.stream import OutputScreen
from deployments.guards.verdict import Span

__all__ = ["ArgumentsScreen"]


class ArgumentsScreen(OutputScreen):
    """The arguments of one call. What was let out is JSON again where the model wrote JSON.

    A character may be written out where the model wrote its escape.
    """

    def __init__(self, guards: Guards) -> None:
        super().__init__(guards)
        self._reader: Final = JsonReader()
        self._inside = False
        """Whether what went out ends in a string."""
        self._last = ""
        """The last character of it, as the checks read it."""

    async def feed(self, piece: str) -> str:
        """See OutputScreen."""
        return await super().feed(self._reader.feed(piece))

    async def finish(self) -> str:
        """See OutputScreen."""
        rest = await super().feed(self._reader.finish())
        rest += await super().finish()
        return "" if self.blocked else rest

    async def whole(self, text: str) -> str:
        """See OutputScreen. As it came, where nothing was masked."""
        view = self._reader.feed(text) + self._reader.finish()
        shown = await super().whole(view)
        return text if shown == masked_json(view, ()) else shown

    def _written(self, text: str, spans: Sequence[Span]) -> str:
        written = masked_json(text, spans, inside=self._inside)
        self._inside ^= text.count('"') % 2 == 1
        self._last = text[-1:] or self._last
        return written

    def _fitting(self, text: str, shown: int, cut: int) -> int:
        """Not within a number or a bare word: as a whole it may have to become a string."""
        for token in json_tokens(text[shown:], inside=self._inside):
            start, end = token.start + shown, token.end + shown
            cuts = start < cut < end or cut == end == len(text)
            if token.kind == "bare" and cuts and len(text) - start <= self.guards.look_ahead:
                return start
        return cut

    def _leave_out(self) -> None:
        """What belongs to a find ends with the string, or the bare word, that it stands in."""
        if self._growing is None:
            return
        ended = not self._inside and next(json_tokens(self._last)).kind == "frame"
        of_it = "text" if self._inside else "bare"
        first = next(json_tokens(self._held, inside=self._inside), None)
        size = first.end if first is not None and first.kind == of_it and not ended else 0
        rest, self._held = self._held[size:], self._held[:size]
        if size:
            super()._leave_out()
        if rest and self._growing is not None:
            self._held, self._growing = "", None
        self._held += rest
