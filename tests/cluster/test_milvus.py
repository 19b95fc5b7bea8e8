"""The embedded Milvus: it starts, heals, refuses, and goes with its owner."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.errors import VectorDatabaseError
from cluster.ids import DEFAULT_PROJECT
from cluster.milvus import MilvusLiteServer, ensure_milvus
from cluster.settings import MilvusSettings
from ingestion.index import PassageIndex
from tests.fixtures.passages import DIMENSION, make_passage, unit
from tests.fixtures.system import free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's."""
    return tmp_path_factory.mktemp("milvus")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[MilvusLiteServer]:
    """A running server, over a folder that was empty; the last test stops it."""
    running = MilvusLiteServer(folder / "data", free_port(), log_file=folder / "milvus.log")
    running.start()
    yield running
    running.stop()


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for `condition`, which another process makes true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_kill_9_in_the_middle_of_work_only_delays(server: MilvusLiteServer) -> None:
    index = PassageIndex(server.uri, "passages_kill_8", DIMENSION, timeout_s=30)
    index.upsert([make_passage("settled wing", ordinal=0)])
    index.settle()
    index.upsert([make_passage("unflushed wing", ordinal=1)])
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    hits = index.search_bm25("wing", DEFAULT_PROJECT, ["vs_a"], 5)
    assert {hit.text for hit in hits} == {"settled wing", "unflushed wing"}
    assert index.search_dense(unit(1), DEFAULT_PROJECT, ["vs_a"], 1)[0].text == "unflushed wing"
    index.upsert([make_passage("written after", ordinal=2)])
    assert index.count() == 3
    eventually(lambda: server.pid not in (killed, None))
    assert server.restarts == 1


def test_a_server_that_hangs_is_replaced(tmp_path: Path) -> None:
    server = MilvusLiteServer(
        tmp_path / "data", free_port(), log_file=tmp_path / "milvus.log", stall_timeout_s=0.5
    )
    server.start()
    try:
        index = PassageIndex(server.uri, "passages_hung_8", DIMENSION, timeout_s=30)
        index.upsert([make_passage("kept wing")])
        hung = server.pid
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: server.pid not in (hung, None), 40)
        assert not is_alive(hung)
        assert index.search_bm25("wing", "proj_default", ["vs_a"], 5)[0].text == "kept wing"
    finally:
        server.stop()


def test_a_server_that_hangs_while_the_clock_runs_back_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MilvusLiteServer(
        tmp_path / "data", free_port(), log_file=tmp_path / "milvus.log", stall_timeout_s=0.5
    )
    server.start()
    try:
        hung = server.pid
        assert hung is not None
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", itertools.count(time.time(), -60).__next__)
            os.kill(hung, signal.SIGSTOP)
            eventually(lambda: not is_alive(hung), 20)
    finally:
        server.stop()


def test_a_port_in_use_is_refused_by_number(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = MilvusLiteServer(tmp_path / "data", port, log_file=tmp_path / "log")
        with pytest.raises(VectorDatabaseError, match=f"Port {port} .* taken"):
            server.start()


def test_a_folder_in_use_is_an_error_with_the_servers_words(
    server: MilvusLiteServer, folder: Path
) -> None:
    assert server.pid is not None
    second = MilvusLiteServer(folder / "data", free_port(), log_file=folder / "second.log")
    with pytest.raises(VectorDatabaseError, match="lock"):
        second.start()


def test_the_server_dies_with_its_owner(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from cluster.milvus import MilvusLiteServer\n"
        f"server = MilvusLiteServer(Path({str(tmp_path / 'data')!r}), {free_port()}, "
        f"log_file=Path({str(tmp_path / 'log')!r}))\n"
        "server.start(); print(server.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert is_alive(pid)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not is_alive(pid))


def test_stop_ends_the_process(server: MilvusLiteServer) -> None:
    pid = server.pid
    assert pid is not None
    server.stop()
    assert not is_alive(pid)
    assert server.pid is None


def test_a_milvus_of_ones_own_is_not_started(tmp_path: Path) -> None:
    settings = MilvusSettings(uri="http://milvus.example:19530")
    assert ensure_milvus(settings, tmp_path) == "http://milvus.example:19530"
    assert not any(tmp_path.iterdir())
