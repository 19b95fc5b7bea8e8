"""Who asks: never as the client said it, always as a digest."""

import hashlib
from typing import Any, Final

from deployments.errors import InvalidRequest

__all__ = ["USER_HEADER", "digest_of", "user_digest"]

USER_HEADER: Final = "x-everloop-user"
_FIELDS: Final = ("safety_identifier", "user")
_LONGEST: Final = 512


def user_digest(body: dict[str, Any], header: str | None) -> str | None:
    """A digest of the request's user; None where the client names none.

    That is the header `x-everloop-user`, else OpenAI's `safety_identifier` or `user`. Raises
    InvalidRequest for one that is no text of at most 512 characters.
    """
    named = [(USER_HEADER, header), *((field, body.get(field)) for field in _FIELDS)]
    for param, value in named:
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise InvalidRequest(
                f"{param} must be a text of at most {_LONGEST} characters.",
                param=param,
                code="invalid_value",
            )
        return digest_of(value)
    return None


def digest_of(user: str) -> str:
    """The digest that stands for `user` in traces and feedback."""
    return "user_" + hashlib.sha256(user.encode()).hexdigest()[:32]
