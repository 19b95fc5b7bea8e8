"""Registered adapters, fetched from the running service into the cache."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cluster.adapters import AdapterFiles
from cluster.database import Database
from cluster.errors import ApiError, StorageError
from cluster.records import Adapter
from tests.fakes.adapters import add_adapter
from tests.fixtures.gateway import Gateway, running_gateway
from training.export.source import resolve_adapter

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def gateway(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gateway]:
    with running_gateway(tmp_path / "data", database) as running:
        monkeypatch.setenv("EVERLOOP_HTTP__PORT", str(urlsplit(running.url).port))
        monkeypatch.setenv("EVERLOOP_CACHE_DIR", str(tmp_path / "cache"))
        yield running


def test_a_registered_adapter_is_fetched_once(gateway: Gateway) -> None:
    name = add_adapter(gateway.database, gateway.storage, b"weights")
    found = resolve_adapter(name)
    assert (found.name, found.base_source) == (name, "smollm2-135m-instruct")
    assert (found.folder / "adapter_model.safetensors").read_bytes() == b"weights"
    assert json.loads((found.folder / "adapter_config.json").read_text()) == {"r": 4}
    gateway.storage.delete(f"{_prefix(gateway, name)}/adapter_model.safetensors")
    assert resolve_adapter(name) == found


def test_bytes_that_were_changed_are_refused_and_not_kept(gateway: Gateway, tmp_path: Path) -> None:
    name = add_adapter(gateway.database, gateway.storage, b"weights")
    gateway.storage.put(f"{_prefix(gateway, name)}/adapter_model.safetensors", [b"weightz"])
    with pytest.raises(StorageError, match=r"adapter_model.safetensors of ft:.* not what was sto"):
        resolve_adapter(name)
    assert list((tmp_path / "cache" / "adapters").iterdir()) == []


def test_an_unknown_adapter_is_told_by_the_service(gateway: Gateway) -> None:
    with pytest.raises(ApiError, match="No such adapter: ft:none"):
        resolve_adapter("ft:none")


def _prefix(gateway: Gateway, name: str) -> str:
    with gateway.database.session(read_only=True) as session:
        return AdapterFiles.of_json(session.get_one(Adapter, name).files).prefix
