"""The prompts of the records and of the files, by reference, with what was read kept for a moment.

A reference is `name` or `name@version`; a version is a number, a label, a digest or `latest`. A
name alone stands for the label `production` and, where a prompt does not have that label, for its
last version. A name that the records do not have is looked for in the files that come with
Everloop.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cluster.errors import DatabaseError
from cluster.records import PromptVersion
from deployments.errors import NotFound
from deployments.last_known import LastKnown
from deployments.prompts.body import PromptBody
from deployments.prompts.errors import PromptError
from deployments.prompts.library import PromptLibrary
from deployments.prompts.prompt import Prompt
from deployments.prompts.versions import (
    PRODUCTION,
    find_prompt,
    find_version,
    is_digest,
    missing_prompt,
    missing_version,
    split_reference,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["PROMPT_TTL_S", "STALE_S", "PromptBook"]

PROMPT_TTL_S: Final = 0.25
"""So long a gateway replica may still answer by what a label meant before."""
STALE_S: Final = 300.0
"""So long what was read last answers while the database is down."""
_PINNED_TTL_S: Final = 3600.0
_LONGEST: Final = 128


class PromptBook:
    """Finds prompt versions by name and version, label or digest."""

    def __init__(
        self,
        database: "Database",
        library: PromptLibrary | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database: Final = database
        self._clock: Final = clock
        self.library: Final = library or PromptLibrary()
        """The files."""
        self._named: Final = LastKnown(self._read, ttl_s=PROMPT_TTL_S, stale_s=STALE_S, clock=clock)
        self._pinned: Final = LastKnown(
            self._read, ttl_s=_PINNED_TTL_S, stale_s=_PINNED_TTL_S, clock=clock
        )
        self._defaults: Final = LastKnown(
            self._read_default, ttl_s=PROMPT_TTL_S, stale_s=STALE_S, clock=clock
        )

    async def find(self, reference: str) -> Prompt:
        """Find a prompt. Raises NotFound that lists what there is, DatabaseError."""
        reference = reference[:_LONGEST]
        name, version = split_reference(reference)
        kept = self._pinned if is_digest(version) else self._named
        prompt = await kept.get(reference)
        if prompt is None:
            raise await self._database.run(
                lambda session: self._why_not(session, name, version), read_only=True
            )
        return prompt

    async def default(self, name: str) -> Prompt | None:
        """The records' prompt `name` where it has the label `production`, else None.

        Where the records do not answer and nothing is known of it, the file's is good enough.
        """
        try:
            found = await self._defaults.get(name)
        except DatabaseError:
            return None
        return None if found is None else found.prompt

    async def _read(self, reference: str) -> Prompt | None:
        name, version = split_reference(reference)
        row = await self._database.run(
            lambda session: find_version(session, name, version), read_only=True
        )
        if row is not None:
            return _prompt(row)
        if name not in self.library.names():
            return None
        packaged = self.library.get(name)
        return packaged if version is None or packaged.version == reference else None

    async def _read_default(self, name: str) -> "_Default":
        row = await self._database.run(
            lambda session: find_version(session, name, PRODUCTION), read_only=True
        )
        return _Default(None if row is None else _prompt(row))

    def _why_not(self, session: "Session", name: str, version: str | None) -> NotFound:
        record = find_prompt(session, name)
        if record is not None:
            return missing_version(session, record, version or PRODUCTION)
        packaged = self.library.names()
        if name not in packaged:
            return missing_prompt(session, name, tuple(packaged))
        return NotFound(
            f"The prompt {name} is a file of Everloop, which has the version "
            f"{self.library.get(name).version} only, not {(version or PRODUCTION)[:64]!r}.",
            param="prompt",
            code="prompt_version_not_found",
        )


@dataclass(frozen=True, slots=True)
class _Default:
    """What stands in for a file; that nothing does is worth remembering too."""

    prompt: Prompt | None


def _prompt(row: PromptVersion) -> Prompt:
    try:
        return Prompt(row.name, PromptBody.model_validate(row.body), row.digest)
    except ValueError as error:  # written by a version of Everloop with other limits
        pinned = f"{row.name}@{row.digest}"
        raise PromptError(f"Prompt {pinned} cannot be read: {error}.") from error
