"""Which keys there are, as the records say."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from cluster.keys import KEY_PREFIX, key_digest
from cluster.records import ApiKey, Project
from cluster.tenancy import acting_in
from deployments.errors import Unauthorized
from deployments.gateway.access.identity import Identity
from deployments.last_known import LastKnown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["KeyBook"]

_LONGEST: Final = 256


class KeyBook:
    """Finds who a key stands for. What was read counts for a moment; see AccessSettings."""

    def __init__(
        self,
        database: "Database",
        *,
        revoked_within_s: float,
        last_known_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._rows: LastKnown[ApiKey] = LastKnown(
            self._read, ttl_s=revoked_within_s, stale_s=max(revoked_within_s, last_known_s)
        )

    async def identify(self, authorization: str) -> Identity:
        """Who sends this `Authorization` header. Raises Unauthorized, DatabaseError."""
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise Unauthorized(
                "No API key was sent. Send one as `Authorization: Bearer KEY`; "
                "`everloop keys create` makes one.",
                code="missing_api_key",
            )
        row = None
        if key.startswith(KEY_PREFIX) and len(key) <= _LONGEST:
            row = await self._rows.get(key_digest(key))
        if row is None or row.revoked_at is not None:
            raise Unauthorized("The API key is not valid.", code="invalid_api_key")
        if row.expires_at is not None and row.expires_at <= self._clock():
            raise Unauthorized("The API key has expired.", code="expired_api_key")
        return Identity.of(row)

    async def _read(self, digest: str) -> ApiKey | None:
        def read(session: "Session") -> ApiKey | None:
            query = select(ApiKey).join(Project, Project.id == ApiKey.project_id)
            return session.scalar(query.where(ApiKey.digest == digest, Project.status == "active"))

        with acting_in(None):
            return await self._database.run(read, read_only=True)
