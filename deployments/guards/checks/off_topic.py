"""Questions off a topic, by how close they are to its description and examples."""

from collections.abc import Sequence
from typing import Final

from deployments.guards.checks.likeness import Prototypes
from deployments.guards.verdict import Finding, Place, Source
from deployments.ports import TextEmbedder

__all__ = ["OffTopicCheck"]


class OffTopicCheck:
    """How far a question is from what may be asked about: 1 less the cosine."""

    name = "off_topic"
    sources = frozenset({Source.ASKED})
    needs_whole = False

    def __init__(self, embedder: TextEmbedder, topic: str, examples: Sequence[str]) -> None:
        self._topic: Final = Prototypes(embedder, (topic, *examples), ())

    async def find(self, text: str, place: Place) -> Finding:
        """See Check. Raises what the Embedder does."""
        del place
        return await self._nearest([text])

    async def find_after(self, before: str, text: str, place: Place) -> Finding:
        """See FollowUpCheck: what a question leans on says what it is about."""
        del place
        return await self._nearest([text, f"{before}\n{text}"])

    def undecided(self, text: str) -> int:
        """See Check. It reads questions, which do not grow."""
        return len(text)

    async def warm_up(self) -> None:
        """See Check."""
        self._topic.start()

    async def _nearest(self, readings: Sequence[str]) -> Finding:
        found = await self._topic.nearest(readings)
        return Finding(min(1.0, 1.0 - max(nearest for nearest, _ in found)), (self.name,))
