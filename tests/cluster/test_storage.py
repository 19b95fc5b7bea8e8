"""ByteStore, on a folder and against an S3 server on loopback."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import StorageError
from cluster.storage import ByteStore


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ByteStore:
    if request.param == "file":
        return ByteStore(f"file://{tmp_path / 'files'}")
    options = request.getfixturevalue("s3_options")
    return ByteStore(f"s3://documents/{tmp_path.name}", options)


def test_put_returns_size_and_sha256(store: ByteStore) -> None:
    stored = store.put("a/file-1", [b"one ", b"two"])
    assert stored.size == 7
    assert stored.sha256 == hashlib.sha256(b"one two").hexdigest()
    assert store.read("a/file-1") == b"one two"
    assert store.size("a/file-1") == 7


def test_a_large_object_comes_back_in_pieces(store: ByteStore) -> None:
    pieces = [bytes([n]) * 1024**2 for n in range(12)]
    store.put("large", pieces)
    assert b"".join(store.chunks("large")) == b"".join(pieces)
    assert max(len(piece) for piece in store.chunks("large")) <= 1024**2


def test_read_takes_a_range(store: ByteStore) -> None:
    store.put("file-1", [b"0123456789"])
    assert store.read("file-1", 2, 5) == b"234"
    assert store.read("file-1", 7) == b"789"


def test_open_gives_a_seekable_file(store: ByteStore) -> None:
    store.put("file-1", [b"0123456789"])
    with store.open("file-1") as file:
        file.seek(8)
        assert file.read() == b"89"


def test_lines_are_read_with_a_limit(store: ByteStore) -> None:
    store.put("file-1", [b"first\n", b"x" * 3_000_000, b"\nlast"])
    with store.open("file-1") as file:
        assert file.readline(100) == b"first\n"
        assert file.readline(2_000_000) == b"x" * 2_000_000
        assert file.readline(2_000_000) == b"x" * 1_000_000 + b"\n"
        assert list(file) == [b"last"]


def test_an_empty_object_is_an_object(store: ByteStore) -> None:
    assert store.put("empty", []).size == 0
    assert store.exists("empty")
    assert store.read("empty") == b""


def test_delete_says_whether_there_was_something(store: ByteStore) -> None:
    store.put("file-1", [b"x"])
    assert store.delete("file-1") is True
    assert store.delete("file-1") is False
    assert not store.exists("file-1")


def test_a_write_that_fails_leaves_nothing(store: ByteStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * (6 * 1024**2)
        raise ConnectionAbortedError

    with pytest.raises(StorageError, match="ConnectionAborted"):
        store.put("file-1", broken())
    assert not store.exists("file-1")


def test_a_write_that_fails_keeps_the_older_object(store: ByteStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError

    store.put("file-1", [b"old"])
    with pytest.raises(RuntimeError):
        store.put("file-1", broken())
    assert store.read("file-1") == b"old"


def test_a_folder_holds_no_temporary_files_afterwards(tmp_path: Path) -> None:
    store = ByteStore(f"file://{tmp_path}")
    store.put("file-1", [b"x"])
    assert [path.name for path in tmp_path.iterdir()] == ["file-1"]


def test_a_missing_object_is_named(store: ByteStore) -> None:
    with pytest.raises(StorageError, match="has no nothing"):
        store.read("nothing")


@pytest.mark.parametrize(
    "key", ["../x", "a/../x", "/etc/passwd", "", "a//b", ".hidden", "a\x00", "ä"]
)
def test_a_key_that_leaves_the_store_is_refused(tmp_path: Path, key: str) -> None:
    store = ByteStore(f"file://{tmp_path / 'files'}")
    for use in (store.read, store.delete, store.exists, lambda k: store.put(k, [b"x"])):
        with pytest.raises(StorageError, match="not a storage key"):
            use(key)
    assert list(tmp_path.iterdir()) == []


def test_check_passes_and_leaves_nothing(store: ByteStore) -> None:
    store.check()
    store.put("only", [b"x"])
    store.check()
    assert store.exists("only")


def test_check_names_a_bucket_that_is_missing(s3_options: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="s3://nowhere") as caught:
        ByteStore("s3://nowhere", s3_options).check()
    assert "very-secret" not in str(caught.value)


def test_check_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="failed to write"):
        ByteStore(f"file://{tmp_path}/file").check()


def test_a_url_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(StorageError, match="nonsense://x"):
        ByteStore("nonsense://x")


def test_objects_are_listed_with_a_stamp_that_changes_when_they_do(tmp_path: Path) -> None:
    store = ByteStore(f"file://{tmp_path / 'files'}")
    assert store.objects() == []
    store.put("a/one", [b"1"])
    store.put("b/two", [b"22"])
    (tmp_path / "files" / "a" / ".put-half").write_bytes(b"half")
    first = store.objects()
    assert [(one.key, one.size) for one in first] == [("a/one", 1), ("b/two", 2)]
    assert store.objects() == first
    assert [one.key for one in store.objects("b")] == ["b/two"]
    store.put("a/one", [b"2"])
    assert store.objects("a")[0].stamp != first[0].stamp


def test_what_lies_below_a_prefix_goes_in_bounded_steps(store: ByteStore) -> None:
    for number in range(5):
        store.put(f"proj_a/deep/{number}", [b"x"])
    store.put("proj_ab/file", [b"x"])
    assert [store.delete_below("proj_a", 3) for _ in range(3)] == [3, 2, 0]
    assert store.delete_below("proj_none", 3) == 0
    assert store.exists("proj_ab/file")
