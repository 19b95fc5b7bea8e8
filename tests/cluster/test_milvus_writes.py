"""Milvus Lite keeps what it acknowledged when the first calls after a start come at once."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

THREADS = 8
SCRIPT = f"""
    import sys, threading
    from milvus_lite.db import MilvusLite
    from milvus_lite.engine.collection import Collection
    from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
    from cluster import milvus_writes

    folder, round_, locks = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "locks"
    opened = []
    original = Collection.__init__
    def counted(self, *args, **kwargs):
        opened.append(self)
        original(self, *args, **kwargs)
    Collection.__init__ = counted
    if locks:
        assert milvus_writes.install()
    db = MilvusLite(folder)
    if round_ == 0:
        schema = CollectionSchema([
            FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=64),
            FieldSchema("vec", DataType.FLOAT_VECTOR, dim=4),
        ])
        db.create_collection("it", schema)
        sys.exit(0)
    sys.setswitchinterval(1e-6)
    barrier = threading.Barrier({THREADS})
    def write(number):
        barrier.wait()
        row = {{"id": f"{{round_}}-{{number}}", "vec": [0.1, 0.2, 0.3, 0.4]}}
        db.get_collection("it").upsert([row])
    threads = [threading.Thread(target=write, args=(n,)) for n in range({THREADS})]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(len(opened), flush=True)
    import os
    os._exit(0)  # as by kill -9: nothing is flushed
"""
COUNT = """
    import sys
    from milvus_lite.db import MilvusLite
    collection = MilvusLite(sys.argv[1]).get_collection("it")
    collection.load()
    print(len(collection.query("id != ''", output_fields=["id"])))
"""


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.integration
def test_the_first_writes_after_a_start_are_all_kept(tmp_path: Path) -> None:
    folder = str(tmp_path / "milvus")
    run(SCRIPT, folder, "0", "locks")
    rounds = 3
    for number in range(1, rounds + 1):
        assert run(SCRIPT, folder, str(number), "locks") == "1", "it is opened once"
    assert run(COUNT, folder) == str(rounds * THREADS)
