"""What a check is. Those of this package are in `checks/`."""

from typing import Protocol, runtime_checkable

from deployments.guards.verdict import Finding, Place, Source

__all__ = ["Check", "FollowUpCheck"]


class Check(Protocol):
    """Looks for one thing in texts."""

    name: str
    sources: frozenset[Source]
    """Whose texts of a request it reads."""
    needs_whole: bool
    """Whether it says nothing of a text that is not all there."""

    async def find(self, text: str, place: Place) -> Finding:
        """Look at one text. May raise TimeoutError, and what the parts that it asks raise."""
        ...

    def undecided(self, text: str) -> int:
        """From which character on a text that still grows may show something.

        What stands before is decided: nothing that follows can make a find of it. The text's length
        where all is decided.
        """
        ...

    async def warm_up(self) -> None:
        """Load what it needs."""
        ...


@runtime_checkable
class FollowUpCheck(Protocol):
    """A check that must know what a question leans on."""

    async def find_after(self, before: str, text: str, place: Place) -> Finding:
        """As `find`, for a text that follows `before` and leans on it."""
        ...
