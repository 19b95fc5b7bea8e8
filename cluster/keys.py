"""API keys: what one looks like, and what it may be allowed to do."""

import hashlib
import secrets
from typing import Final, Literal, get_args

__all__ = ["KEY_PREFIX", "SCOPES", "Scope", "key_digest", "mint_key", "shown_key"]

Scope = Literal["inference", "documents", "training", "admin"]
"""`inference`: ask models. `documents`: files and vector stores. `training`: data, jobs, prompts,
evals, experiments. `admin`: all of these in its project, and its keys, limits and audit log."""
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
KEY_PREFIX: Final = "sk-el-"
_BYTES: Final = 32


def mint_key() -> str:
    """Make a key: its prefix and 256 random bits, URL-safe."""
    return KEY_PREFIX + secrets.token_urlsafe(_BYTES)


def key_digest(key: str) -> str:
    """What is kept of a key: SHA-256, hex. Enough for 256 random bits, which nobody can guess."""
    return hashlib.sha256(key.encode()).hexdigest()


def shown_key(key: str) -> str:
    """What lists show of a key: `sk-el-Ab3d…9xYz`."""
    return f"{key[: len(KEY_PREFIX) + 4]}…{key[-4:]}"
