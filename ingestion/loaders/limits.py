"""How much one document may hold, before and after it is unpacked."""

from dataclasses import dataclass

__all__ = ["DocumentLimits"]


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """Beyond any of these a document is refused, with the limit named."""

    pages: int = 5000
    characters: int = 20_000_000
    archive_entries: int = 10_000
    """Of an archive and those inside it together."""
    expanded_bytes: int = 512 * 1024**2
    """Likewise."""
    expansion_ratio: int = 200
    """Bytes that a compressed byte may become, in what expands to more than 32 MiB."""
    archive_nesting: int = 2
    """Archives within archives."""
