"""Settings of what is encrypted on its way."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from cluster.sections.section import Section

__all__ = ["TlsSettings"]


class TlsSettings(Section):
    """Encryption of what goes over the network. The database, Milvus and S3 have it by their URLs.

    The files are PEM; they are read when Everloop starts, so a renewed certificate needs `down` and
    `up`.
    """

    certificate: Path | None = None
    """Certificate of the HTTP front, with what lies between it and its authority; none: HTTP."""
    key: Path | None = None
    """Its private key, without a password, readable by its owner only."""
    authority: Path | None = None
    """Certificates of authorities that Everloop's own clients trust besides the public ones."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]{1,253}$")
    """Host name, one of the certificate's, by which this machine's clients ask; none: the address
    that the front listens on."""
    nodes: bool = False
    """Encrypt what Ray's processes tell each other too, on all machines by the same three files:
    who has no certificate of `authority` cannot join. The certificate names every machine's
    address, and is good for servers and clients."""

    @field_validator("certificate", "key", "authority")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are set together, or neither is")
        if self.nodes and (self.certificate is None or self.authority is None):
            raise ValueError("nodes needs certificate, key and authority")
        return self
