"""The bytes: a folder by default, an S3-compatible store by URL."""

import contextlib
import hashlib
import io
import itertools
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.spec import AbstractBufferedFile

from cluster.errors import NO_SPACE, StorageError, StorageFull
from cluster.ids import new_id
from cluster.masking import without_password

__all__ = ["ByteStore", "StoredBytes", "StoredObject"]

CHUNK_BYTES: Final = 1024**2
_KEY: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", re.ASCII)
_MAX_KEY: Final = 900


class StoredBytes(NamedTuple):
    """What `put` wrote."""

    size: int
    sha256: str


class StoredObject(NamedTuple):
    """An object as a listing shows it."""

    key: str
    size: int
    stamp: str
    """Changes when the object is written again."""


class ByteStore:
    """Objects by key under one fsspec URL. Blocking: call it in a thread.

    Keys are relative paths of letters, digits, `.`, `_` and `-`; no part starts with a dot.
    Every failure is a StorageError that names the URL, without credentials, and the key.
    """

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme or "file"
        self.url = f"{self._scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
        """The URL without credentials, for messages."""
        self._root = (parts.netloc + parts.path).rstrip("/")
        if not self._root:
            raise StorageError(
                f"storage.url {self.url!r} names no place.",
                fix="Use file:///absolute/folder or s3://bucket/prefix.",
            )
        settings = dict(options or {})
        if self._scheme == "s3":  # a cached listing would hide what other processes wrote
            settings.setdefault("use_listings_cache", False)
        try:
            self._fs = fsspec.filesystem(self._scheme, **settings)
        except (ValueError, ImportError, TypeError) as error:
            raise StorageError(
                f"storage.url {self.url} cannot be opened: {error}.",
                fix="Check the scheme and `storage.options`.",
            ) from error

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Write an object whole or not at all; an older one of this key is replaced.

        On a folder the bytes are on the disk (fsync) before it returns. When `chunks`
        raises, nothing is left behind; its OSError is told as a StorageError.
        """
        path = self._path(key)
        with self._wrapping("write", key):
            writing = self._write_file if self._scheme == "file" else self._write_remote
            return writing(path, chunks)

    def read(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the object's bytes, or those from `start` up to `end`."""
        path = self._path(key)
        with self._wrapping("read", key):
            return cast(bytes, self._fs.cat_file(path, start=start, end=end))

    def open(self, key: str) -> BinaryIO:
        """Open the object as a seekable file; the caller closes it."""
        path = self._path(key)
        with self._wrapping("read", key):
            file = self._fs.open(path, "rb")
        if isinstance(file, AbstractBufferedFile):  # its `readline` takes no limit
            return io.BufferedReader(cast(io.RawIOBase, file), CHUNK_BYTES)
        return cast(BinaryIO, file)

    def chunks(self, key: str) -> Iterator[bytes]:
        """Read the object in pieces of at most a MiB."""
        with self.open(key) as source, self._wrapping("read", key):
            while piece := source.read(CHUNK_BYTES):
                yield piece

    def size(self, key: str) -> int:
        """Return the object's length in bytes."""
        path = self._path(key)
        with self._wrapping("read", key):
            return int(self._fs.size(path))

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        path = self._path(key)
        with self._wrapping("find", key):
            try:
                self._fs.info(path)
            except FileNotFoundError:
                return False
            return True

    def objects(self, prefix: str = "") -> list[StoredObject]:
        """Every object whose key begins with `prefix` (a folder's name, with or without slash)."""
        folder = f"{self._root}/{prefix}".rstrip("/")
        with self._wrapping("list", prefix or "objects"):
            try:
                found = self._fs.find(folder, detail=True)
            except FileNotFoundError:
                return []
        listed = []
        for path, info in sorted(found.items()):
            key = str(path).removeprefix(f"{self._root}/")
            if _KEY.fullmatch(key):  # else one that is being written
                stamp = info.get("ETag") or info.get("mtime") or info.get("LastModified")
                listed.append(StoredObject(key, int(info["size"]), str(stamp)))
        return listed

    def delete(self, key: str) -> bool:
        """Delete the object. False where there was none."""
        path = self._path(key)
        with self._wrapping("delete", key):
            try:
                self._fs.info(path)
                self._fs.rm_file(path)
            except FileNotFoundError:
                return False
            return True

    def delete_below(self, prefix: str, most: int) -> int:
        """Delete up to `most` objects whose keys begin with `prefix/`; returns how many.

        What a crash left half written goes as well.
        """
        path = self._path(prefix)
        with self._wrapping("delete", prefix):
            walked = self._fs.walk(path)
            paths = (f"{folder}/{name}" for folder, _, names in walked for name in names)
            found = list(itertools.islice(paths, most))
            for name in found:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(name)
        return len(found)

    def check(self) -> None:
        """Raise StorageError unless an object can be written, read and deleted."""
        key = new_id("check")
        self.put(key, [b"everloop"])
        try:
            if self.read(key) != b"everloop":
                raise StorageError(f"The byte store {self.url} gave back other bytes than written.")
        finally:
            self.delete(key)

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key) or len(key) > _MAX_KEY:
            raise StorageError(f"{key[:_MAX_KEY]!r} is not a storage key.")
        return f"{self._root}/{key}"

    @contextlib.contextmanager
    def _wrapping(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise StorageError(
                f"The byte store {self.url} has no {key}, or its folder or bucket is missing.",
                fix="Create the bucket or restore the object.",
            ) from error
        except _foreign_errors(self._scheme) as error:
            if getattr(error, "errno", None) in NO_SPACE:
                raise StorageFull(
                    f"The byte store {self.url} has no space to {verb} {key}.",
                    fix="Make room, or move `storage.url`.",
                ) from error
            raise StorageError(
                f"The byte store {self.url} failed to {verb} {key}: "
                f"{type(error).__name__}: {without_password(str(error))}.",
                fix="Check `storage.url`, `storage.options` and the free space.",
            ) from error

    def _write_file(self, path: str, chunks: Iterable[bytes]) -> StoredBytes:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".put-", dir=target.parent)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - pathlib opens no descriptors
                stored = _copy(chunks, file)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return stored

    def _write_remote(self, path: str, chunks: Iterable[bytes]) -> StoredBytes:
        file = self._fs.open(path, "wb")
        try:
            stored = _copy(chunks, file)
        except BaseException:
            # Closing would publish the half object; discard aborts the multipart upload.
            with contextlib.suppress(*_foreign_errors(self._scheme)):
                file.discard()
            file.closed = True
            raise
        file.close()
        return stored


def _copy(chunks: Iterable[bytes], file: BinaryIO) -> StoredBytes:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        file.write(chunk)
    return StoredBytes(size, digest.hexdigest())


def _foreign_errors(scheme: str) -> tuple[type[Exception], ...]:
    if scheme != "s3":
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, BotoCoreError, ClientError)
