"""Errors of the document path.

IngestionError
├── DocumentError   this document cannot be ingested; `code` is OpenAI's `last_error.code`
└── FetchError      a URL was refused or could not be fetched
"""

from typing import Literal

from cluster.errors import EverloopError

__all__ = ["DocumentError", "ErrorCode", "FetchError", "IngestionError"]

ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]


class IngestionError(EverloopError):
    """Root of the document path's errors."""


class DocumentError(IngestionError):
    """A document cannot be ingested: empty, encrypted, truncated, mislabelled, too slow."""

    def __init__(self, message: str, *, code: ErrorCode = "invalid_file", fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code: ErrorCode = code

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes."""
        return (_document_error, (self.message, self.code, self.fix))


def _document_error(message: str, code: ErrorCode, fix: str) -> DocumentError:
    return DocumentError(message, code=code, fix=fix)


class FetchError(IngestionError):
    """A URL was refused or could not be fetched."""
