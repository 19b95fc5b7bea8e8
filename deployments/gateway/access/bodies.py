"""What the routes of keys and projects read."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from cluster.keys import Scope
from deployments.gateway.bodies import Body, Metadata, Text

__all__ = ["KeyCreate", "KeyRotate", "KeyUpdate", "ProjectCreate", "ProjectUpdate"]

_LONGEST_S = 10 * 366 * 86_400

Name = Annotated[Text, Field(min_length=1, max_length=128)]
ExpiresIn = Annotated[int, Field(ge=1, le=_LONGEST_S)]
Limits = Annotated[dict[Annotated[Text, Field(max_length=64)], Any], Field(max_length=32)]


class KeyCreate(Body):
    """Make a key."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "search page", "scopes": ["inference"]}]}
    )
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1)]
    """What it may do. Only `admin` keys make keys, and `admin` includes the others: so no key gives
    what it does not have."""
    project: Annotated[Text, Field(max_length=64)] | None = None
    """Whose key it is: an operator's may name any project, others only their own."""
    expires_in: ExpiresIn | None = None
    """Seconds from now; absent or null: it does not expire."""
    limits: Limits | None = None
    """As a project's; both are held."""
    metadata: Metadata | None = None


class KeyUpdate(Body):
    """Change a key; what is absent stays."""

    name: Name | None = None
    expires_in: ExpiresIn | None = None
    """Seconds from now; null: it does not expire any more."""
    limits: Limits | None = None
    metadata: Metadata | None = None


class KeyRotate(Body):
    """Replace a key."""

    grace_s: Annotated[int, Field(ge=0, le=30 * 86_400)] = 0
    """So long the old one goes on counting."""


class ProjectCreate(Body):
    """Make a project."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "support"}]})
    name: Name
    limits: Limits | None = None
    metadata: Metadata | None = None


class ProjectUpdate(Body):
    """Change a project; what is absent stays. `name` and `limits` are the operator's to change."""

    name: Name | None = None
    limits: Limits | None = None
    metadata: Metadata | None = None
