"""Settings of who may do what."""

from typing import Literal

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["AccessSettings"]


class AccessSettings(Section):
    """Who gets in."""

    keys: Literal["required", "off"] = "required"
    """`off` lets everybody on this machine do everything in the default project; with it, the HTTP
    front listens on loopback only."""
    revoked_within_s: float = Field(default=2.0, gt=0)
    """So long a gateway replica may still take a key that was revoked."""
    last_known_s: float = Field(default=600.0, ge=0)
    """So long a key that was seen goes on counting while the database does not answer."""
    secret_env: str = "EVERLOOP_SECRET"  # noqa: S105 - the variable's name
    """Variable with the installation's secret, which signs tokens of end users and of Everloop's
    own parts; without it one is made in the data folder."""
