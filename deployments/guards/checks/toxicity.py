"""Toxicity, by the rules of the metric of that name."""

from typing import Final

from deployments.evaluation.metrics.toxicity import find_toxic
from deployments.guards.aside import aside
from deployments.guards.verdict import Finding, Place, Source

__all__ = ["ToxicityCheck"]

_AT_ONCE: Final = 1_000
"""Characters that are read on the event loop, about 4 ms."""
_ENDS: Final = ".!?\n"


class ToxicityCheck:
    """Finds what degrades, threatens or insults."""

    name = "toxicity"
    sources = frozenset({Source.ASKED, Source.SAID})
    needs_whole = False

    async def find(self, text: str, place: Place) -> Finding:
        """See Check."""
        del place
        finds = await aside(find_toxic, text, at_once=_AT_ONCE)
        categories = dict.fromkeys(f"toxicity/{find.category}" for find in finds)
        return Finding(max((f.severity for f in finds), default=0.0), tuple(categories))

    def undecided(self, text: str) -> int:
        """See Check: the sentence that has not ended."""
        return max(text.rfind(end) for end in _ENDS) + 1

    async def warm_up(self) -> None:
        """See Check."""
        find_toxic("")
