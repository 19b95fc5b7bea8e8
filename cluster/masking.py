"""What is shown of settings: everything but what lets somebody in."""

import re
from typing import Any, Final

__all__ = ["MASK", "is_secret", "shown", "without_password"]

MASK: Final = "***"
_WORDS: Final = ("secret", "password", "passwd", "credential", "authorization", "connection_string")
_ENDS: Final = ("key", "token")
_NAMES_OF_VARIABLES: Final = ("_env", "_variable")
_HOLDERS: Final = frozenset({"headers"})
"""Mappings of which every value may be a secret, whatever its name."""
_FILES: Final = frozenset({"tls.key"})
_PASSWORD: Final = re.compile(r"(?<=:)(?!//)\S+(?=@)")
_PARAMETER: Final = re.compile(
    r"(?i)(?<=[?&])([^=&\s]*(?:secret|password|passwd|key|token|sig))=[^&\s]+"
)


def is_secret(key: str) -> bool:
    """Whether the value of a setting, by its dotted key, is for nobody's eyes."""
    *above, name = key.lower().split(".")
    if key.lower() in _FILES or name.endswith(_NAMES_OF_VARIABLES):
        return False
    named = name.endswith(_ENDS) or any(word in name for word in _WORDS)
    return named or not _HOLDERS.isdisjoint(above)


def without_password(url: str) -> str:
    """The URL with its password and what stands for one in its query masked.

    A text that is no URL yet may have been meant as one: `user:password@host` is masked too.
    """
    return _PARAMETER.sub(rf"\1={MASK}", _PASSWORD.sub(MASK, url))


def shown(key: str, value: Any) -> Any:
    """The value as it may be shown."""
    if value is None:
        return None
    if is_secret(key):
        return MASK
    return without_password(value) if isinstance(value, str) else value
