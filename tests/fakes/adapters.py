"""Adapter versions in the registry, with files of a few bytes."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from cluster.adapters import store_adapter
from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.records import Adapter
from cluster.storage import ByteStore

__all__ = ["add_adapter"]


def add_adapter(
    database: Database,
    store: ByteStore,
    weights: bytes = b"weights",
    base: str = "smollm2-135m-instruct",
    kind: str = "lora",
) -> str:
    """Register an adapter; returns its id."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "adapter_config.json").write_text(json.dumps({"r": 4}))
        (folder / "adapter_model.safetensors").write_bytes(weights)
        files = store_adapter(store, folder, base=base, suffix="t", project=DEFAULT_PROJECT)
    with database.session() as session:
        session.add(
            Adapter(
                id=files.id,
                number=new_id("adapter"),
                base=base,
                base_revision="0" * 64,
                kind=kind,
                files=files.as_json(),
                bytes=files.bytes,
                lineage={"job": "ftjob-1"},
            )
        )
    return files.id
