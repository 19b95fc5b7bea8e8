"""Tokens by which Everloop's own parts ask its gateway: short-lived, for one project at a time.

`sk-in-` and itsdangerous' signed JSON (HMAC-SHA256 over URL-safe base64), signed with the
installation's secret. Nothing is stored of them; they are made anew for each request.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cluster.keys import SCOPES, Scope
from cluster.secret import installation_secret
from cluster.tenancy import acting_project

if TYPE_CHECKING:
    from cluster.settings import Settings

__all__ = ["INTERNAL_PREFIX", "InternalGrant", "InternalTokens", "mint_internal_token"]

INTERNAL_PREFIX: Final = "sk-in-"
INTERNAL_TTL_S: Final = 300.0
"""Longer than a request waits for its turn: it is read when the request arrives."""
_SALT: Final = "everloop.internal"


@dataclass(frozen=True, slots=True)
class InternalGrant:
    """What a token allows."""

    project_id: str
    scopes: frozenset[Scope]


class InternalTokens:
    """Makes and reads tokens with one secret."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        from itsdangerous import URLSafeSerializer

        self._clock = clock
        self._serializer: Final = URLSafeSerializer(
            secret,
            _SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    @classmethod
    def of(cls, settings: "Settings") -> "InternalTokens":
        """With the installation's secret. Raises SettingsError."""
        return cls(installation_secret(settings))

    def mint(self, project_id: str, scopes: Iterable[Scope], ttl_s: float = INTERNAL_TTL_S) -> str:
        """Make a token that acts for a project for `ttl_s` seconds."""
        body = {"p": project_id, "s": sorted(scopes), "e": int(self._clock() + ttl_s)}
        return INTERNAL_PREFIX + str(self._serializer.dumps(body))

    def for_acting_project(self, *scopes: Scope) -> Callable[[], str]:
        """What makes a token of the project that acts when it is called."""
        return lambda: self.mint(acting_project(), scopes)

    def read(self, token: str) -> InternalGrant | None:
        """What a token allows; None where it is not ours, was changed, or has expired."""
        from itsdangerous import BadData

        try:
            body: Any = self._serializer.loads(token.removeprefix(INTERNAL_PREFIX))
        except BadData:
            return None
        if body["e"] <= self._clock():
            return None
        return InternalGrant(body["p"], frozenset(scope for scope in SCOPES if scope in body["s"]))


def mint_internal_token(
    settings: "Settings", project_id: str, scopes: Iterable[Scope], ttl_s: float = INTERNAL_TTL_S
) -> str:
    """Make one token. Raises SettingsError where there is no secret."""
    return InternalTokens.of(settings).mint(project_id, scopes, ttl_s)
