"""Taking out the citation markers that a model writes, such as ` [1]`, while it writes.

Citations are attributed by the platform; a marker that a model wrote on its own would only mislead.
"""

import re
from typing import Final

__all__ = ["MarkerFilter", "strip_markers"]

_NUMBERS: Final = r"\d{1,3}(?:\s?[,;–-]\s?\d{1,3})*"
_WORD: Final = r"(?:(?:passage|source|doc|document|text|citation)s?\s?)?"
_MARKER: Final = re.compile(
    rf"[ \t]*(?:\[\^?{_WORD}{_NUMBERS}\](?!\()"
    rf"|【[^】\n]{{1,24}}】|\((?:passage|source)s?\s{_NUMBERS}\))",
    re.IGNORECASE,
)
_LONGEST: Final = 40
# A tail that may still become a marker: spaces, an opening bracket, and what a marker holds.
_BEGINNING: Final = re.compile(
    r"[ \t]*(?:\[\^?[a-z]{0,9}\s?[\d,;\s–-]{0,16}\]?"
    r"|\((?:[ps][a-z]{0,6}\s?[\d,;\s–-]{0,16})?|【[^】\n]{0,24})?\Z",
    re.IGNORECASE,
)


class MarkerFilter:
    """Holds back at most a few characters, and only while they may become a marker."""

    def __init__(self) -> None:
        self._held = ""
        self._started = False

    def feed(self, text: str) -> str:
        """Take the next piece of the answer and return what is certain to be shown."""
        pending = _without_markers(self._held + text)
        if not self._started:
            pending = pending.lstrip(" \t")
        match = _BEGINNING.search(pending[-_LONGEST:])
        held = len(match.group()) if match else 0
        self._held = pending[len(pending) - held :]
        shown = pending[: len(pending) - held]
        self._started = self._started or bool(shown)
        return shown

    def finish(self) -> str:
        """Return what is still held back, without a marker."""
        rest, self._held = _MARKER.sub("", self._held), ""
        return rest.rstrip(" \t")


def _without_markers(text: str) -> str:
    """Take out the markers but for one at the very end: a «(» behind it would make it a link."""

    def kept(marker: re.Match[str]) -> str:
        return marker.group() if marker.end() == len(text) and text.endswith("]") else ""

    return _MARKER.sub(kept, text)


def strip_markers(text: str) -> str:
    """Return `text` without markers, as the filter would show it."""
    marker_filter = MarkerFilter()
    return marker_filter.feed(text) + marker_filter.finish()
