"""The exception tree of the `cluster` package.

EverloopError
├── SettingsError        a setting is missing, unknown or out of range
├── ModelSourceError     a model could not be found, fetched or verified
├── DatabaseError        the records cannot be reached or are at another schema version
│   └── DatabaseFull     there is no space for them
├── StorageError         the byte store cannot be reached or lacks an object
│   └── StorageFull      there is no space in it
├── BackupError          a backup is not whole, or cannot be made or restored
├── LaunchError          a part of the system did not start or stop
├── UnreachableError     no Everloop answers at the base URL
├── ApiError             Everloop answered with an error; `status` is its HTTP status
└── VectorDatabaseError  Milvus cannot be started or reached
"""

import errno
from typing import Final

__all__ = [
    "NO_SPACE",
    "ApiError",
    "BackupError",
    "DatabaseError",
    "DatabaseFull",
    "EverloopError",
    "LaunchError",
    "ModelSourceError",
    "SettingsError",
    "StorageError",
    "StorageFull",
    "UnreachableError",
    "VectorDatabaseError",
]


NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of an OSError that says that a file cannot grow."""


class EverloopError(Exception):
    """Root of every error that Everloop raises on purpose.

    `message` says what failed and the value seen; `fix` says what to change.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between Ray processes with `fix` intact."""
        return (_rebuild, (type(self), self.message, self.fix))


def _rebuild(cls: type[EverloopError], message: str, fix: str) -> EverloopError:
    return cls(message, fix=fix)


class SettingsError(EverloopError):
    """A setting is missing, unknown or out of range."""


class ModelSourceError(EverloopError):
    """A model could not be found, fetched or verified."""


class DatabaseError(EverloopError):
    """The records cannot be reached or are at another schema version."""


class StorageError(EverloopError):
    """The byte store cannot be reached or lacks an object."""


class DatabaseFull(DatabaseError):
    """There is no space for the records."""


class StorageFull(StorageError):
    """There is no space in the byte store."""


class VectorDatabaseError(EverloopError):
    """Milvus cannot be started or reached."""


class BackupError(EverloopError):
    """A backup is not whole, or cannot be made or restored."""


class LaunchError(EverloopError):
    """A part of the system did not start or stop."""


class UnreachableError(EverloopError):
    """No Everloop answers at the base URL."""


class ApiError(EverloopError):
    """Everloop answered a client with an error."""

    def __init__(self, message: str, *, status: int = 0, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.status = status
