"""Settings of who may do what, how much, and what is let through."""

from typing import Literal

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["AccessSettings", "LimitsSettings", "TlsSettings"]


class AccessSettings(Section):
    """Who gets in."""

    keys: Literal["required", "off"] = "required"
    """`off` lets everybody on this machine do everything in the default project; with it, the HTTP
    front listens on loopback only."""
    revoked_within_s: float = Field(default=2.0, gt=0)
    """So long a gateway replica may still take a key that was revoked."""
    last_known_s: float = Field(default=600.0, ge=0)
    """So long a key that was seen goes on counting while the database does not answer."""


class LimitsSettings(Section):
    """How much a project and a key may use. None is without a limit."""


class TlsSettings(Section):
    """Encryption of what goes over the network."""
