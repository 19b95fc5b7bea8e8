"""Rows that are too short or too long."""

from collections.abc import Callable, Iterator

from training.data.curation.stages import Verdict
from training.data.settings import LengthSettings
from training.data.texts import turns
from training.errors import CurationError
from training.examples import Example

__all__ = ["LengthFilter", "TokenCount"]

TokenCount = Callable[[Example], int]
"""Tokens of an example, under the model that is to be trained."""


class LengthFilter:
    """Removes rows outside the bounds. Raises CurationError for tokens without a way to count."""

    name = "lengths"

    def __init__(self, settings: LengthSettings, count: TokenCount | None) -> None:
        wanted = settings.min_tokens is not None or settings.max_tokens is not None
        if wanted and count is None:
            raise CurationError(
                "lengths.min_tokens and lengths.max_tokens need a model whose tokens are counted.",
                fix="Name the model, or bound characters instead.",
            )
        self._settings = settings
        self._count = count if wanted else None

    def judge(self, example: Example) -> Verdict:
        """Whether the row is within all bounds."""
        settings = self._settings
        for what, size in self._sizes(example):
            least, most = getattr(settings, f"min_{what}"), getattr(settings, f"max_{what}")
            if least is not None and size < least:
                return Verdict(example, f"fewer than {least} {what}")
            if most is not None and size > most:
                return Verdict(example, f"more than {most} {what}")
        return Verdict(example)

    def _sizes(self, example: Example) -> Iterator[tuple[str, int]]:
        said = turns(example)
        yield "messages", len(said)
        yield "characters", sum(len(turn.text) for turn in said)
        if self._count is not None:
            yield "tokens", self._count(example)
