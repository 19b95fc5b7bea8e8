"""Milvus Lite keeps what it acknowledged: calls at once after a start, and a disk that is full.

Each scene is a process of its own, which ends as by kill -9; another one counts what is left.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

THREADS = 8
BEGIN = """
    import os, resource, signal, sys, threading
    from milvus_lite.db import MilvusLite
    from milvus_lite.engine.collection import Collection
    from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
    from cluster import milvus_writes

    opened = []
    original = Collection.__init__
    def counted(self, *args, **kwargs):
        opened.append(self)
        original(self, *args, **kwargs)
    Collection.__init__ = counted
    if os.environ.get("LOCKS") != "none":
        assert milvus_writes.install()
    db = MilvusLite(sys.argv[1])
    if not db.has_collection("it"):
        schema = CollectionSchema([
            FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=64),
            FieldSchema("vec", DataType.FLOAT_VECTOR, dim=64),
        ])
        db.create_collection("it", schema)
        db.close()
        sys.exit(0)

    def upsert(*names):
        db.get_collection("it").upsert([{"id": name, "vec": [0.5] * 64} for name in names])

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def limit_files(size):  # what goes beyond fails half way, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""
AT_ONCE = f"""
    sys.setswitchinterval(1e-6)
    barrier = threading.Barrier({THREADS})
    def write(number):
        barrier.wait()
        upsert(f"{{sys.argv[2]}}-{{number}}")
    threads = [threading.Thread(target=write, args=(n,)) for n in range({THREADS})]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(len(opened), flush=True)
    os._exit(0)
"""
HALF_A_RECORD = """
    upsert("a", "b")
    written = db.get_collection("it")._wal.size_bytes
    limit_files(written + 100)
    try:
        upsert(*(f"lost {number}" for number in range(50)))
    except OSError:
        limit_files(resource.RLIM_INFINITY)
        upsert("c")
        upsert("d")
        os._exit(0)
    sys.exit("the write did not fail")
"""
HALF_A_FLUSH = """
    upsert(*(f"{number}" for number in range(100)))
    limit_files(1000)
    db.get_collection("it").flush()
    sys.exit("the flush did not fail")
"""
NO_ROOM = """
    import shutil
    from types import SimpleNamespace
    upsert("a")
    shutil.disk_usage = lambda folder: SimpleNamespace(free=1 << 20)
    try:
        db.get_collection("it").flush()
    except OSError as error:
        print(error.strerror)
        db.get_collection("it").load()
        print(len(db.get_collection("it").query("id != ''", output_fields=["id"])), flush=True)
        os._exit(0)
"""
FLUSH = """
    upsert("later")
    db.get_collection("it").flush()
    os._exit(0)
"""
COUNT = """
    collection = db.get_collection("it")
    collection.load()
    print(len(collection.query("id != ''", output_fields=["id"], limit=1000)))
"""


def run(folder: Path, script: str = "", *arguments: str, status: int = 0) -> str:
    program = textwrap.dedent(BEGIN) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "milvus"
    run(made)
    return made


def test_the_first_writes_after_a_start_are_all_kept(folder: Path) -> None:
    rounds = 3
    for number in range(rounds):
        assert run(folder, AT_ONCE, str(number)) == "1", "it is opened once"
    assert run(folder, COUNT) == str(rounds * THREADS)


def test_what_is_written_after_half_a_record_is_kept(folder: Path) -> None:
    run(folder, HALF_A_RECORD)
    assert run(folder, COUNT) == "4"
    run(folder, FLUSH)
    assert run(folder, COUNT) == "5"
    logs = list((folder).rglob("wal_*.arrow"))
    assert logs == [], "a flush leaves none behind"


def test_a_flush_that_fails_half_way_costs_nothing(folder: Path) -> None:
    run(folder, HALF_A_FLUSH, status=3)
    assert run(folder, COUNT) == "100"
    run(folder, FLUSH)
    assert run(folder, COUNT) == "101"


def test_a_flush_does_not_begin_without_room(folder: Path) -> None:
    told, count = run(folder, NO_ROOM).splitlines()
    assert "1048576 are free" in told
    assert count == "1"
