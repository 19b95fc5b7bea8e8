"""Processes are known by a mark; `up` and `down` may be called in any order, and twice."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cluster.errors import LaunchError
from cluster.launch import foreground
from cluster.launch.processes import CLUSTER_ID, cluster_id, listener_on, marked_processes, stop_all
from cluster.launch.ray_head import (
    ensure_ray_head,
    head_command,
    ray_environment,
    stop_ray_head,
)
from cluster.launch.run_record import RunRecord, read_record, remove_record, write_record
from cluster.launch.serve_environment import SERVE_ENVIRONMENT
from cluster.settings import (
    PROFILES,
    Settings,
    is_loopback,
    load_settings,
    resolve_settings,
)
from tests.fixtures.ray_cluster import RAY_DRIVER
from tests.fixtures.system import free_port

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); "
    "time.sleep(60)",
]
Start = Callable[[list[str], str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a marked program in a session of its own and wait until it runs."""
    started: list[subprocess.Popen[bytes]] = []

    def run(command: list[str], identity: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            env=os.environ | {CLUSTER_ID: identity},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        {
            "data_dir": str(tmp_path / "data"),
            "ray": {
                "port": free_port(),
                "dashboard_port": free_port(),
                "metrics_port": free_port(),
                "num_cpus": 1,
                "object_store_mib": 80,
            },
            "http": {"port": free_port()},
        }
    )


def test_stop_ends_ours_and_leaves_others_alone(start: Start) -> None:
    ours, theirs = start(SLEEP, "test-ours"), start(SLEEP, "test-theirs")
    assert stop_all("test-ours", grace_s=5) == 1
    assert ours.wait(5) != 0
    assert theirs.poll() is None


def test_stop_kills_what_ignores_the_first_signal(start: Start) -> None:
    ours = start(STUBBORN, "test-stubborn")
    assert stop_all("test-stubborn", grace_s=0.3) == 1
    assert marked_processes("test-stubborn") == []
    ours.wait(5)


def test_stopping_twice_is_no_error() -> None:
    assert stop_all("test-nothing", grace_s=0.1) == 0


def test_the_caller_is_never_its_own_victim() -> None:
    script = (
        "import os; from cluster.launch.processes import *; "
        "print(len(marked_processes(os.environ[CLUSTER_ID])))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {CLUSTER_ID: "test-self"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "0"


def test_two_data_folders_are_two_everloops(tmp_path: Path) -> None:
    assert cluster_id(tmp_path / "a") != cluster_id(tmp_path / "b")


def test_a_record_of_a_reused_process_number_is_not_alive(tmp_path: Path) -> None:
    now = psutil.Process().create_time()
    assert RunRecord(os.getpid(), now, 1, 2, "/tmp/x").alive
    assert not RunRecord(os.getpid(), now - 100, 1, 2, "/tmp/x").alive
    assert not (tmp_path / "run").exists()


def test_a_record_survives_and_is_forgotten(tmp_path: Path) -> None:
    record = RunRecord(1, 2.0, 3, 4, "/tmp/x", "digest")
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    remove_record(tmp_path)
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', "[]"])
def test_a_torn_record_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "cluster.json").write_text(content)
    assert read_record(tmp_path) is None


def test_a_listener_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        owner = listener_on(listener.getsockname()[1])
    assert owner is not None
    assert f"pid {os.getpid()}" in owner


def test_up_refuses_a_taken_port_and_says_who_has_it(settings: Settings) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", settings.http.port))
        listener.listen()
        with pytest.raises(LaunchError, match=f"http.port.*pid {os.getpid()}"):
            ensure_ray_head(settings, lambda _text: None)
    assert marked_processes(cluster_id(settings.data_dir)) == []


def test_ray_is_told_to_stay_on_loopback_unless_it_is_someone_elses(settings: Settings) -> None:
    assert ray_environment(settings)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert ray_environment(settings).items() >= SERVE_ENVIRONMENT.items()
    theirs = load_settings({"ray": {"address": "head:6379"}})
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in ray_environment(theirs)


@pytest.mark.parametrize("profile", sorted(path.stem for path in PROFILES.glob("*.yaml")))
def test_every_profile_keeps_ray_milvus_and_the_front_on_loopback(profile: str) -> None:
    settings, _ = resolve_settings(environ={"EVERLOOP_PROFILE": profile})
    command = head_command(settings)
    assert "--node-ip-address=127.0.0.1" in command
    assert "--dashboard-host=127.0.0.1" in command
    assert not [word for word in command if re.search(r"0\.0\.0\.0|::", word)]
    assert ray_environment(settings)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert settings.milvus_uri.startswith("http://127.0.0.1:")
    assert is_loopback(settings.http.host)


def test_a_start_that_fails_says_what_each_part_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text(
        "#!/bin/sh\n"
        'for word; do case $word in --temp-dir=*) folder="${word#*=}";; esac; done\n'
        'logs="$folder/session_latest/logs"\n'
        'mkdir -p "$logs" && echo "the port is taken" > "$logs/gcs_server.out"\n'
        'echo "no GCS"; exit 1\n'
    )
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    tries: list[str] = []
    with pytest.raises(LaunchError, match=r"2 tries.*output: no GCS") as caught:
        ensure_ray_head(settings, tries.append)
    assert tries == ["starting", "starting again: the first try failed"]
    log = settings.data_dir / "run" / "ray-head.log"
    assert str(log) in str(caught.value)
    assert log.read_text() == "no GCS\n--- gcs_server.out\nthe port is taken\n"


@pytest.mark.integration
def test_a_ray_head_starts_once_on_loopback_heals_and_stops(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in RAY_DRIVER:
        monkeypatch.delenv(variable, raising=False)  # the product sets its own
    identity = cluster_id(settings.data_dir)
    try:
        first = ensure_ray_head(settings, lambda _text: None)
        assert ensure_ray_head(settings, lambda _text: None) == first
        assert _open_to_the_network(identity) == []
        assert not [line for line in _command_lines(identity) if "log_monitor" in line]

        monkeypatch.setattr(foreground, "_REACTION_S", 0.5)
        monkeypatch.setattr(foreground, "_SILENT_S", 1.0)
        (raylet,) = [each for each in marked_processes(identity) if each.name() == "raylet"]
        assert foreground.silent([raylet]) == []
        raylet.suspend()
        assert foreground.await_end(settings) == (
            f"Ray's raylet (pid {raylet.pid}) reacted to nobody for 1 s."
        )
        raylet.resume()

        psutil.Process(first.pid).kill()  # a crash: its children live on as orphans
        psutil.wait_procs([psutil.Process(first.pid)] if psutil.pid_exists(first.pid) else [], 5)
        second = ensure_ray_head(settings, lambda _text: None)
        assert second.pid != first.pid
    finally:
        stopped = stop_ray_head(settings)
    assert stopped > 5
    assert marked_processes(identity) == []
    assert stop_ray_head(settings) == 0
    assert not Path(second.temp_dir).exists()


def _command_lines(identity: str) -> list[str]:
    lines = []
    for process in marked_processes(identity):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            lines.append(" ".join(process.cmdline()))
    assert len(lines) > 5
    return lines


def _open_to_the_network(identity: str) -> list[str]:
    pids = {process.pid for process in marked_processes(identity)}
    return [
        f"{connection.laddr.ip}:{connection.laddr.port}"
        for connection in psutil.net_connections("tcp")
        if connection.pid in pids
        and connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and "127.0.0.1" not in connection.laddr.ip
    ]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),  # noqa: S104 - a value, nothing listens there
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("127.example.org", False),
        ("", False),
    ],
)
def test_one_rule_says_what_is_reached_from_this_machine_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert is_loopback(host, mapped=False) is (loopback and not host.startswith("::ffff:"))
