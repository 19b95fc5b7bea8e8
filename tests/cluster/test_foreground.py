"""`up --wait` tells that Ray has ended, and that a part of it hangs. The head is a small stand-in:
it goes by the raylet's name, carries the mark, and listens; what is asked of it is real.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from cluster.launch import foreground
from cluster.launch.processes import CLUSTER_ID, cluster_id
from cluster.launch.run_record import RunRecord, write_record
from cluster.settings import Settings, load_settings

PART = """
import ctypes, socket
ctypes.CDLL(None).prctl(15, b"raylet", 0, 0, 0)
server = socket.create_server(("127.0.0.1", 0))
print("listens", flush=True)
while True:
    server.accept()[0].close()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data_dir": str(tmp_path), "ray": {"address": None}})


@pytest.fixture
def part(settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", PART],
        env=os.environ | {CLUSTER_ID: cluster_id(settings.data_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "listens\n"
    record = RunRecord(process.pid, psutil.Process(process.pid).create_time(), 1, 2, "")
    write_record(settings.data_dir, record)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "_LOOK_S", 0.05)
    monkeypatch.setattr(foreground, "_REACTION_S", 0.3)
    monkeypatch.setattr(foreground, "_SILENT_S", 1.0)


def test_only_who_does_not_react_is_silent(part: "subprocess.Popen[str]") -> None:
    process = psutil.Process(part.pid)
    assert foreground.silent([process]) == []
    os.kill(part.pid, signal.SIGSTOP)
    assert foreground.silent([process]) == [f"raylet (pid {part.pid})"]
    os.kill(part.pid, signal.SIGCONT)
    assert foreground.silent([process]) == []


@pytest.mark.usefixtures("hasty")
def test_the_wait_ends_with_a_part_that_hangs_and_says_which(
    part: "subprocess.Popen[str]", settings: Settings
) -> None:
    with ThreadPoolExecutor(1) as waiting:
        ended = waiting.submit(foreground.await_end, settings)
        with pytest.raises(TimeoutError):
            ended.result(2.5)  # longer than a silence may last: it reacts
        os.kill(part.pid, signal.SIGSTOP)
        assert f"raylet (pid {part.pid}) reacted to nobody" in ended.result(20)


@pytest.mark.usefixtures("hasty")
def test_the_wait_ends_with_the_head(part: "subprocess.Popen[str]", settings: Settings) -> None:
    with ThreadPoolExecutor(1) as waiting:
        ended = waiting.submit(foreground.await_end, settings)
        part.kill()
        part.wait()
        assert ended.result(20) == "Ray ended by itself."
