"""What the drills take away really goes, and comes back."""

import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.clock import ShiftedClock
from tests.drills.doorway import Doorway


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(100):
            self.request.sendall(data)


@pytest.fixture
def doorway() -> Iterator[Doorway]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Doorway(server.server_address[1]) as way:
            yield way
        server.shutdown()


def ask(doorway: Doorway, timeout_s: float) -> bytes:
    with socket.create_connection(("127.0.0.1", doorway.port), timeout=timeout_s) as asked:
        asked.sendall(b"hello")
        return asked.recv(100)


def test_an_open_door_passes_bytes_both_ways(doorway: Doorway) -> None:
    assert ask(doorway, 10) == b"hello"


def test_a_shut_door_takes_no_connection_and_opens_again(doorway: Doorway) -> None:
    doorway.become("shut")
    with contextlib.suppress(ConnectionError):
        assert ask(doorway, 10) == b""
    doorway.become("open")
    assert ask(doorway, 10) == b"hello"


def test_behind_a_silent_door_nothing_answers_until_it_opens(doorway: Doorway) -> None:
    doorway.become("silent")
    with pytest.raises(TimeoutError):
        ask(doorway, 0.3)
    doorway.become("open")
    assert ask(doorway, 10) == b"hello"


def test_a_slow_door_takes_its_time(doorway: Doorway) -> None:
    doorway.become("slow", 0.2)
    began = time.monotonic()
    assert ask(doorway, 10) == b"hello"
    assert time.monotonic() - began >= 0.4  # there and back


CLOCKS = """
import sys, time
from datetime import UTC, datetime
for _ in sys.stdin:
    print(time.time(), datetime.now(UTC).timestamp(), time.monotonic(), flush=True)
"""


def test_the_clock_of_a_running_process_is_set_and_its_waits_are_not(tmp_path: Path) -> None:
    clock = ShiftedClock.build(tmp_path)
    if clock is None:
        pytest.skip("no C compiler")
    process = subprocess.Popen(
        [sys.executable, "-c", CLOCKS],
        env=clock.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for shift in (0, 86_400, -3600, 0):
        clock.set(shift)
        process.stdin.write("\n")
        process.stdin.flush()
        seconds, of_datetime, monotonic = map(float, process.stdout.readline().split())
        assert seconds == pytest.approx(time.time() + shift, abs=30)
        assert of_datetime == pytest.approx(time.time() + shift, abs=30)
        assert monotonic == pytest.approx(time.monotonic(), abs=30)
    process.communicate()
