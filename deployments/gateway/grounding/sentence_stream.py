"""Sentences of a text that is still growing."""

from ingestion.sentences import sentence_spans

__all__ = ["SentenceStream"]


class SentenceStream:
    """Gives each sentence once, as soon as what follows shows that it has ended."""

    def __init__(self) -> None:
        self.text = ""
        """Everything fed so far."""
        self._done = 0

    def feed(self, piece: str) -> list[tuple[int, int]]:
        """Add `piece` and return the spans of the sentences that it completes."""
        self.text += piece
        if not piece.strip():
            return []
        tail = self.text[self._done :]
        spans = sentence_spans(tail)
        # The last one is still growing; where the one before it ended depends on a whole word.
        growing = 1 if spans and _has_whole_word(tail[spans[-1][0] :]) else 2
        return self._take(spans[: max(0, len(spans) - growing)])

    def finish(self) -> list[tuple[int, int]]:
        """Return the spans of what is left."""
        return self._take(sentence_spans(self.text[self._done :]))

    def _take(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        taken = [(start + self._done, end + self._done) for start, end in spans]
        if taken:
            self._done = taken[-1][1]
        return taken


def _has_whole_word(text: str) -> bool:
    stripped = text.strip()
    return any(character.isspace() for character in stripped) or len(stripped) < len(text)
