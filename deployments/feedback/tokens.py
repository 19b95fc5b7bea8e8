"""Signed tokens: what an end user may say, of which answers, until when. Nothing is stored of them.

`fbt_` and itsdangerous' signed JSON (HMAC-SHA256 over URL-safe base64): readable, not changeable.
"""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

from deployments.errors import Forbidden, InvalidRequest, Unauthorized
from deployments.feedback.bodies import PARTS, Part

__all__ = ["TOKEN_PREFIX", "FeedbackTokens", "TokenGrant"]

TOKEN_PREFIX: Final = "fbt_"  # noqa: S105 - what a token begins with
_SALT: Final = "everloop.feedback.end-user"


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a token allows."""

    project_id: str
    trace_ids: tuple[str, ...]
    name: str
    allow: tuple[Part, ...]
    expires_at: int
    """Seconds since the epoch."""
    user_id: str | None = None
    """The digest under which it is kept."""

    def trace_of(self, trace_id: str | None) -> str:
        """The trace that is meant. Raises Forbidden for one that the token is not for."""
        if trace_id is None:
            if len(self.trace_ids) > 1:
                raise InvalidRequest(
                    f"The token is for {len(self.trace_ids)} traces: trace_id says which is meant.",
                    param="trace_id",
                    code="missing_parameter",
                )
            return self.trace_ids[0]
        if trace_id not in self.trace_ids:
            raise Forbidden(
                f"The token is not for the trace {trace_id[:64]}.",
                param="trace_id",
                code="trace_not_allowed",
            )
        return trace_id

    def check_parts(self, parts: Iterable[Part]) -> None:
        """Raise Forbidden that names the first field that the token does not allow."""
        for name in parts:
            if name not in self.allow:
                raise Forbidden(
                    f"The token allows {', '.join(self.allow)}, not {name}.",
                    param=name,
                    code="field_not_allowed",
                )


class FeedbackTokens:
    """Signs and reads tokens with one key."""

    def __init__(self, key: bytes) -> None:
        self._serializer: Final = URLSafeSerializer(
            key, _SALT, signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )

    def sign(self, grant: TokenGrant) -> str:
        """The token of a grant."""
        body = {
            "p": grant.project_id,
            "t": list(grant.trace_ids),
            "n": grant.name,
            "a": list(grant.allow),
            "e": grant.expires_at,
            "u": grant.user_id,
        }
        return TOKEN_PREFIX + str(self._serializer.dumps(body))

    def read(self, token: str) -> TokenGrant:
        """The grant of a token. Raises Unauthorized where it is not ours, or has expired."""
        try:
            if not token.startswith(TOKEN_PREFIX):
                raise BadData("another kind of token")
            body = self._serializer.loads(token.removeprefix(TOKEN_PREFIX))
        except BadData:
            raise Unauthorized(
                "The feedback token is not valid: it was cut, changed, or signed with another key.",
                code="invalid_token",
            ) from None
        if body["e"] <= time.time():
            raise Unauthorized("The feedback token has expired.", code="expired_token")
        return TokenGrant(
            project_id=body["p"],
            trace_ids=tuple(body["t"]),
            name=body["n"],
            allow=tuple(name for name in PARTS if name in body["a"]),
            expires_at=body["e"],
            user_id=body["u"],
        )
