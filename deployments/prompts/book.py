"""The prompts of the records and of the files, by reference, with what was read kept for a moment.

A reference is `name` or `name@version`; a version is a number, a label, a digest or `latest`. A
name alone stands for the label `production` and, where a prompt does not have that label, for its
last version. A name that the records do not have is looked for in the files that come with
Everloop.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cluster.errors import DatabaseError
from cluster.records import PromptVersion
from deployments.errors import NotFound
from deployments.kept import Kept
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
        self._named: Kept[Prompt] = Kept(PROMPT_TTL_S, clock)
        self._defaults: Kept[Prompt | None] = Kept(PROMPT_TTL_S, clock)
        self._pinned: Kept[Prompt] = Kept(_PINNED_TTL_S, clock)

    async def find(self, reference: str) -> Prompt:
        """Find a prompt. Raises NotFound that lists what there is, DatabaseError."""
        name, version = split_reference(reference[:_LONGEST])
        kept = self._pinned if is_digest(version) else self._named
        known, prompt = kept.get(reference)
        if not known:
            asked = self._clock()
            try:
                row = await self._database.run(
                    lambda session: self._row(session, name, version), read_only=True
                )
            except DatabaseError:
                known, prompt = kept.get(reference, within_s=STALE_S)
                if not known:
                    raise
            else:
                prompt = self._packaged(name, version) if row is None else self._prompt(row)
                kept.put(reference, prompt, asked)
        assert prompt is not None  # noqa: S101 - only prompts are kept there
        return prompt

    async def default(self, name: str) -> Prompt | None:
        """The records' prompt `name` where it has the label `production`, else None.

        Never raises: with the database down it is what was read last, at most STALE_S ago.
        """
        known, prompt = self._defaults.get(name)
        if known:
            return prompt
        asked = self._clock()
        try:
            row = await self._database.run(
                lambda session: find_version(session, name, PRODUCTION), read_only=True
            )
        except DatabaseError:
            return self._defaults.get(name, within_s=STALE_S)[1]
        prompt = None if row is None else self._prompt(row)
        self._defaults.put(name, prompt, asked)
        return prompt

    def _row(self, session: "Session", name: str, version: str | None) -> PromptVersion | None:
        """The record's row; None where the files have it. Raises NotFound."""
        row = find_version(session, name, version)
        if row is not None:
            return row
        packaged = self.library.names()
        if name in packaged and self.library.get(name).version == f"{name}@{version}":
            return None
        record = find_prompt(session, name)
        if record is not None:
            raise missing_version(session, record, version or PRODUCTION)
        if name not in packaged:
            raise missing_prompt(session, name, tuple(packaged))
        return None

    def _packaged(self, name: str, version: str | None) -> Prompt:
        prompt = self.library.get(name)
        if version is not None and prompt.version != f"{name}@{version}":
            raise NotFound(
                f"The prompt {name} is a file of Everloop, which has the version {prompt.version} "
                f"only, not {version[:64]!r}.",
                param="prompt",
                code="prompt_version_not_found",
            )
        return prompt

    def _prompt(self, row: PromptVersion) -> Prompt:
        pinned = f"{row.name}@{row.digest}"
        known, prompt = self._pinned.get(pinned)
        if not known or prompt is None:
            try:
                prompt = Prompt(row.name, PromptBody.model_validate(row.body), row.digest)
            except ValueError as error:  # written by a version of Everloop with other limits
                raise PromptError(f"Prompt {pinned} cannot be read: {error}.") from error
            self._pinned.put(pinned, prompt, self._clock())
        return prompt
