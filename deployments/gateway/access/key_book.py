"""Who a request comes from, as the records and the installation's secret say."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from cluster.internal_tokens import INTERNAL_PREFIX, InternalTokens
from cluster.keys import KEY_PREFIX, key_digest
from cluster.records import ApiKey, Project
from cluster.tenancy import acting_in
from deployments.errors import Unauthorized
from deployments.gateway.access.identity import Identity
from deployments.gateway.access.last_use import LastUse
from deployments.last_known import LastKnown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["KeyBook", "bearer_of"]

_LONGEST: Final = 1024


def bearer_of(authorization: str) -> str | None:
    """The token of an `Authorization: Bearer` header; None where it is something else."""
    scheme, _, token = authorization.partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


class KeyBook:
    """Finds who a key stands for. What was read counts for a moment; see AccessSettings."""

    def __init__(
        self,
        database: "Database",
        tokens: InternalTokens,
        *,
        revoked_within_s: float,
        last_known_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._clock = clock
        self._uses = LastUse(database)
        stale_s = max(revoked_within_s, last_known_s)
        self._rows: LastKnown[ApiKey] = LastKnown(
            self._read, ttl_s=revoked_within_s, stale_s=stale_s
        )
        self._projects: LastKnown[str] = LastKnown(
            self._read_project, ttl_s=revoked_within_s, stale_s=stale_s
        )

    async def identify(self, authorization: str) -> Identity:
        """Who sends this `Authorization` header. Raises Unauthorized, DatabaseError."""
        key = bearer_of(authorization)
        if key is None:
            raise Unauthorized(
                "No API key was sent. Send one as `Authorization: Bearer KEY`; "
                "`everloop keys create` makes one.",
                code="missing_api_key",
            )
        if len(key) <= _LONGEST:
            if key.startswith(KEY_PREFIX):
                return await self._holder(key)
            if key.startswith(INTERNAL_PREFIX):
                return await self._part(key)
        raise _not_valid()

    async def check_project(self, project_id: str) -> None:
        """Raise Unauthorized where a project is on its way out, or gone."""
        if await self._projects.get(project_id) is None:
            raise _not_valid()

    def forget(self, digest: str) -> None:
        """Read a key anew when it comes next, whoever acts."""
        with acting_in(None):  # as who is asking was looked up
            self._rows.drop(digest)

    def forget_project(self, project_id: str) -> None:
        """Read a project anew when it is named next, whoever acts."""
        with acting_in(None):
            self._projects.drop(project_id)

    async def close(self) -> None:
        """Write when keys were last used."""
        await self._uses.close()

    async def _holder(self, key: str) -> Identity:
        row = await self._rows.get(key_digest(key))
        if row is None or row.revoked_at is not None:
            raise _not_valid()
        at = self._clock()
        if row.expires_at is not None and row.expires_at <= at:
            raise Unauthorized("The API key has expired.", code="expired_api_key")
        self._uses.note(row.id, at)
        return Identity.of(row)

    async def _part(self, token: str) -> Identity:
        grant = self._tokens.read(token)
        if grant is None:
            raise _not_valid()
        await self.check_project(grant.project_id)
        return Identity(grant.project_id, "system", grant.scopes)

    async def _read(self, digest: str) -> ApiKey | None:
        def read(session: "Session") -> ApiKey | None:
            query = select(ApiKey).join(Project, Project.id == ApiKey.project_id)
            return session.scalar(query.where(ApiKey.digest == digest, Project.status == "active"))

        with acting_in(None):
            return await self._database.run(read, read_only=True)

    async def _read_project(self, project_id: str) -> str | None:
        query = select(Project.id).where(Project.id == project_id, Project.status == "active")
        return await self._database.run(lambda session: session.scalar(query), read_only=True)


def _not_valid() -> Unauthorized:
    return Unauthorized("The API key is not valid.", code="invalid_api_key")
