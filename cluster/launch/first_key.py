"""The key that the first `everloop up` makes, so that nobody else gets in and its owner does."""

from dataclasses import dataclass
from pathlib import Path

from cluster.actor import CLI, acting_as
from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.key_file import KeyFile, key_file_path, read_key_file, write_key_file
from cluster.key_records import create_key, operator_keys
from cluster.keys import key_digest
from cluster.settings import Settings

__all__ = ["FirstKey", "ensure_first_key", "make_local_key"]

_NAME = "first key"


@dataclass(frozen=True)
class FirstKey:
    """How this machine gets in."""

    path: Path | None
    """The file to load; None where keys are off, or it is not on this machine."""
    made: str | None = None
    """The key, where it was made now: it is shown once."""
    said: str = ""
    """What was found or done, in a few words."""


def ensure_first_key(settings: Settings) -> FirstKey:
    """Make a key that may do everything, where the records have none; else find its file.

    Raises DatabaseError, and SettingsError where the file cannot be read.
    """
    if settings.access.keys == "off":
        return FirstKey(None, said="off: everybody on this machine may do everything")
    path, found = key_file_path(settings.data_dir), read_key_file(settings.data_dir)
    database = Database(settings.database_url, pool_size=1)
    try:
        with database.session() as session:
            digests = {row.digest for row in operator_keys(session)}
    finally:
        database.close()
    if not digests:
        key = make_local_key(settings, name=_NAME, save=True)
        return FirstKey(path, key, f"made, and written to {path}")
    if found is None:
        said = "there are keys, and none in a file here: set EVERLOOP_API_KEY"
        return FirstKey(None, said=said)
    if key_digest(found.key) not in digests:
        return FirstKey(path, said=f"the one in {path} is not an operator's, or counts no more")
    if found.base_url != settings.base_url:  # the same installation listens elsewhere now
        write_key_file(settings.data_dir, KeyFile(settings.base_url, found.key))
    return FirstKey(path, said=f"in {path}")


def make_local_key(settings: Settings, *, name: str, save: bool) -> str:
    """Make a key that may do everything, in the records themselves; with `save`, write its file."""
    database = Database(settings.database_url, pool_size=1)
    try:
        with acting_as(CLI), database.session() as session:
            _, key = create_key(session, project_id=DEFAULT_PROJECT, name=name, scopes=("admin",))
            if save:  # a key that nobody can read is of no use: then it is not made
                write_key_file(settings.data_dir, KeyFile(settings.base_url, key))
    finally:
        database.close()
    return key
