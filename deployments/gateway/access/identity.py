"""Who asks: the key that a request came with."""

from dataclasses import dataclass
from typing import Final, cast

from fastapi import Request

from cluster.ids import DEFAULT_PROJECT
from cluster.keys import SCOPES, Scope
from cluster.records import ApiKey

__all__ = ["EVERYBODY", "NOBODY", "Identity", "identity_of"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A key, and what it allows."""

    project_id: str
    key_id: str
    """`system` stands for Everloop itself, `end-user` for the holder of a feedback token."""
    scopes: frozenset[Scope]

    def may(self, scopes: frozenset[Scope]) -> bool:
        """Whether one of `scopes` is granted. `admin` grants all."""
        return "admin" in self.scopes or bool(scopes & self.scopes)

    @property
    def is_operator(self) -> bool:
        """Whether it may manage all projects: an `admin` of the default one."""
        return self.project_id == DEFAULT_PROJECT and "admin" in self.scopes

    @classmethod
    def of(cls, row: ApiKey) -> "Identity":
        """What a key's record allows."""
        return cls(row.project_id, row.id, frozenset(row.scopes))


EVERYBODY: Final = Identity(DEFAULT_PROJECT, "everybody", frozenset(SCOPES))
"""Who asks where `access.keys` is off."""

NOBODY: Final = Identity(DEFAULT_PROJECT, "nobody", frozenset())
"""Who asks the health checks without a key."""


def identity_of(request: Request) -> Identity:
    """Who asks."""
    return cast(Identity, request.state.identity)
