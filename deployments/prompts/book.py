"""The prompts of the records, by reference, with what was read kept for a moment."""

from typing import TYPE_CHECKING, Final

from deployments.prompts.library import Prompt

if TYPE_CHECKING:
    from cluster.database import Database

__all__ = ["PromptBook"]


class PromptBook:
    """Finds prompt versions by name and version, label or digest."""

    def __init__(self, database: "Database") -> None:
        self._database: Final = database

    async def find(self, reference: str) -> Prompt:
        """Find `name`, `name@3`, `name@label` or `name@digest`. Raises NotFound that says why."""
        raise NotImplementedError
