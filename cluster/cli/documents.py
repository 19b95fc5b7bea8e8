"""Which documents a list of files, folders and URLs names."""

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from cluster.errors import SettingsError
from cluster.manifest import sha256_of
from cluster.settings import IngestionSettings

__all__ = ["Document", "Found", "collect", "fetch"]

_READABLE: Final = {
    *(".csv", ".docx", ".eml", ".epub", ".htm", ".html", ".json", ".jsonl", ".markdown", ".md"),
    *(".ndjson", ".pdf", ".pptx", ".tsv", ".txt", ".xls", ".xlsx", ".zip"),
}
_LONGEST_SOURCE: Final = 512  # OpenAI's bound of an attribute's value


@dataclass(frozen=True)
class Document:
    """One document: `source` names it across versions, `path` holds its bytes."""

    source: str
    path: Path
    sha256: str
    filename: str


@dataclass(frozen=True)
class Found:
    """What the arguments named."""

    documents: list[Document]
    urls: list[str]
    skipped: list[str]
    """Files of a folder whose type is not one that can be read."""


def collect(arguments: Iterable[str]) -> Found:
    """Walk the arguments. A file of a folder is named by its path in that folder.

    Hidden files and folders are left out. Raises SettingsError for a path that does not exist
    and for two documents of one name, which would replace each other.
    """
    paths: dict[str, Path] = {}
    urls: list[str] = []
    skipped: list[str] = []
    for argument in arguments:
        if argument.startswith(("http://", "https://")):
            urls.append(argument)
            continue
        root = Path(argument).expanduser()
        if root.is_file():
            _add(paths, root.name, root)
        elif root.is_dir():
            for path in sorted(root.rglob("*")):
                inside = path.relative_to(root)
                if any(part.startswith(".") for part in inside.parts) or not path.is_file():
                    continue
                if path.suffix.lower() in _READABLE:
                    _add(paths, inside.as_posix(), path)
                else:
                    skipped.append(str(path))
        else:
            raise SettingsError(f"{argument} is no file, folder or http(s) URL.")
    documents = [
        Document(_bounded(source), path, sha256_of(path), path.name)
        for source, path in paths.items()
    ]
    return Found(documents, list(dict.fromkeys(urls)), skipped)


def fetch(url: str, folder: Path, settings: IngestionSettings) -> Document:
    """Fetch a page into `folder`, with the limits of the settings. Raises FetchError."""
    fetched = import_module("ingestion.fetch").fetch_url(
        url,
        timeout_s=settings.url_timeout_s,
        max_bytes=settings.url_max_bytes,
        allow_private=settings.allow_private_urls,
    )
    target = Path(tempfile.mkdtemp(dir=folder)) / fetched.filename
    target.write_bytes(fetched.data)
    return Document(_bounded(url), target, sha256_of(target), fetched.filename)


def _add(paths: dict[str, Path], source: str, path: Path) -> None:
    if (other := paths.get(source)) is not None and other.resolve() != path.resolve():
        raise SettingsError(
            f"{other} and {path} would both be the document {source!r} of the store.",
            fix="Ingest them one after the other under names of their own, or into two stores.",
        )
    paths[source] = path


def _bounded(source: str) -> str:
    if len(source) <= _LONGEST_SOURCE:
        return source
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    return f"{unquote(urlsplit(source).path)[-(_LONGEST_SOURCE - 17) :]}#{digest}"
