"""An adapter's files, into the store and out of it."""

import json
from pathlib import Path

import pytest

from cluster.adapters import AdapterFiles, fetch_adapter, store_adapter
from cluster.errors import StorageError
from cluster.storage import ByteStore

BASE = "tiny"


def adapter(folder: Path, weights: bytes = b"weights", rank: int = 4) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ByteStore:
    if request.param == "file":
        return ByteStore(f"file://{tmp_path / 'store'}")
    options = request.getfixturevalue("s3_options")
    return ByteStore(f"s3://documents/{tmp_path.name}", options)


def stored(store: ByteStore, folder: Path, project: str = "proj_a") -> AdapterFiles:
    return store_adapter(store, folder, base=BASE, suffix="bank", project=project)


def test_what_comes_out_is_what_went_in(store: ByteStore, tmp_path: Path) -> None:
    files = stored(store, adapter(tmp_path / "a"))
    assert files.id.startswith("ft:tiny:bank:")
    assert files.rank == 4
    assert AdapterFiles.of_json(json.loads(json.dumps(files.as_json()))) == files
    fetch_adapter(store, files, tmp_path / "b")
    assert (tmp_path / "b/adapter_model.safetensors").read_bytes() == b"weights"
    assert files.bytes == len(b"weights") + len('{"r": 4}')


def test_the_id_follows_from_the_bytes_and_the_project(store: ByteStore, tmp_path: Path) -> None:
    first = stored(store, adapter(tmp_path / "a"))
    assert stored(store, adapter(tmp_path / "same")) == first
    assert stored(store, adapter(tmp_path / "other", b"weightz")).id != first.id
    assert stored(store, adapter(tmp_path / "rank", rank=8)).id != first.id
    assert stored(store, tmp_path / "a", "proj_b").id != first.id


def test_changed_bytes_are_noticed(store: ByteStore, tmp_path: Path) -> None:
    files = stored(store, adapter(tmp_path / "a"))
    store.put(f"{files.prefix}/adapter_model.safetensors", [b"weightz"])
    with pytest.raises(StorageError, match="not what was stored"):
        fetch_adapter(store, files, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_object_that_is_gone_leaves_no_folder(store: ByteStore, tmp_path: Path) -> None:
    files = stored(store, adapter(tmp_path / "a"))
    store.delete(f"{files.prefix}/adapter_model.safetensors")
    with pytest.raises(StorageError, match=r"has no .*adapter_model.safetensors"):
        fetch_adapter(store, files, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_folder_without_an_adapter_is_refused(store: ByteStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds no adapter"):
        stored(store, tmp_path)
    folder = adapter(tmp_path / "a")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(StorageError, match="lacks"):
        stored(store, folder)
