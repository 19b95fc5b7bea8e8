"""The Ray head that `up` starts: on loopback only, with its own ports and folder."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil

from cluster.errors import LaunchError
from cluster.launch.processes import CLUSTER_ID, cluster_id, listener_on, stop_all
from cluster.launch.run_record import (
    RunRecord,
    read_record,
    remove_record,
    run_dir,
    write_record,
)
from cluster.launch.serve_environment import SERVE_ENVIRONMENT
from cluster.settings import Settings
from cluster.tls import node_environment

__all__ = [
    "connect",
    "disconnect",
    "ensure_ray_head",
    "head_command",
    "ray_environment",
    "stop_ray_head",
]

_START_TIMEOUT_S: Final = 120.0
_SETTLING_S: Final = 1.5
_ATTEMPTS: Final = 2  # on a cold machine the raylet may give up waiting for the dashboard agent
_LONGEST_TEMP_DIR: Final = 40  # a Unix socket's path holds 107 bytes, and Ray appends about 60
_READY: Final = "Ray runtime started"
_PARTS: Final = ("gcs_server.out", "gcs_server.err", "raylet.out", "raylet.err")
_PART_LINES: Final = 15


def ray_environment(settings: Settings) -> dict[str, str]:
    """Variables that the head and every process that connects to it need."""
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        **SERVE_ENVIRONMENT,
        "SPT_NOENV": "1",  # else worker titles overwrite the environment `down` reads
        "DO_NOT_TRACK": "1",
        CLUSTER_ID: cluster_id(settings.data_dir),
        **node_environment(settings.tls),
    }
    if settings.ray.address is None:
        # Ray replaces 127.0.0.1 by the machine's own address and then listens on every interface,
        # which lets anybody on the network run code. With this switch it stays on loopback.
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        variables["RAY_AUTH_MODE"] = "disabled"
    return variables


def connect(settings: Settings) -> None:
    """Make this process a driver of the cluster. Raises LaunchError when it cannot be reached."""
    os.environ.update(ray_environment(settings))
    import ray

    if ray.is_initialized():
        return
    address = settings.ray.address or f"127.0.0.1:{settings.ray.port}"
    options = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "everloop"}
    try:
        with _keeping_sigterm():
            ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        raise LaunchError(
            f"The Ray cluster at {address} cannot be joined: {error}",
            fix="`everloop down` and `everloop up` start it anew.",
        ) from error


def disconnect() -> None:
    """Be no driver any more, if this process is one: it then outlives the cluster."""
    if "ray" in sys.modules:
        with _keeping_sigterm():
            sys.modules["ray"].shutdown()


def ensure_ray_head(settings: Settings, report: Callable[[str], None]) -> RunRecord:
    """Return the running head, or start one; what a broken start left is ended first."""
    record = read_record(settings.data_dir)
    if record is not None and record.alive and _answers(record.gcs_port):
        if record.gcs_port != settings.ray.port:
            raise LaunchError(
                f"Everloop runs with ray.port {record.gcs_port}, not {settings.ray.port}.",
                fix="`everloop down` first, then `everloop up`.",
            )
        return record
    stop_ray_head(settings)
    _refuse_taken_ports(settings)
    for attempt in range(1, _ATTEMPTS + 1):
        report("starting" if attempt == 1 else "starting again: the first try failed")
        record = _start(settings)
        if record is not None:
            return record
        said = _log_tail(settings)
        _keep_parts_last_words(settings)
        stop_ray_head(settings)
    raise LaunchError(
        f"Ray did not start in {_ATTEMPTS} tries. The end of its output: {said}",
        fix=f"The whole is in {_log(settings)}; `everloop doctor` looks at memory, disk and ports.",
    )


def stop_ray_head(settings: Settings) -> int:
    """End every process of this Everloop and return how many there were."""
    record = read_record(settings.data_dir)
    first = [record.pid] if record is not None and record.alive else []
    stopped = stop_all(cluster_id(settings.data_dir), first=first)
    remove_record(settings.data_dir)
    shutil.rmtree(_temp_dir(settings), ignore_errors=True)
    return stopped


@contextlib.contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Ray handles SIGTERM itself while it is joined, and leaves no handler when it leaves."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # no other may set one
            signal.signal(signal.SIGTERM, before)


def _temp_dir(settings: Settings) -> Path:
    base = Path(tempfile.gettempdir())
    if len(str(base)) > _LONGEST_TEMP_DIR - 20:
        base = Path("/tmp")  # noqa: S108 - short on purpose; the folder is private to the user
    return base / f"everloop-{cluster_id(settings.data_dir)}"


def _log(settings: Settings) -> Path:
    return run_dir(settings.data_dir) / "ray-head.log"


def _log_tail(settings: Settings) -> str:
    lines = [line for line in _log(settings).read_text(errors="replace").splitlines() if line]
    return " / ".join(lines[-4:])[-800:]


def _keep_parts_last_words(settings: Settings) -> None:
    """Append what the head's parts said last to its log, before their folder is removed."""
    folder = _temp_dir(settings) / "session_latest" / "logs"
    with _log(settings).open("a") as log:
        for name in _PARTS:
            with contextlib.suppress(OSError):  # it never began
                lines = (folder / name).read_text(errors="replace").splitlines()
                print(f"--- {name}", *lines[-_PART_LINES:], sep="\n", file=log)


def _refuse_taken_ports(settings: Settings) -> None:
    wanted = {
        "ray.port": settings.ray.port,
        "ray.dashboard_port": settings.ray.dashboard_port,
        "ray.metrics_port": settings.ray.metrics_port,
        "http.port": settings.http.port,
    }
    taken = [
        f"{name} {port} is used by {owner}"
        for name, port in wanted.items()
        if (owner := listener_on(port))
    ]
    if taken:
        raise LaunchError(
            f"{'; '.join(taken)}.", fix="End that program, or set another port (`everloop config`)."
        )


def head_command(settings: Settings) -> list[str]:
    """What starts the head. Nothing of it is reached from another machine."""
    client_port, agent_port = _free_port(), _free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", f"--port={settings.ray.port}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={settings.ray.dashboard_port}"]
    command += [f"--metrics-export-port={settings.ray.metrics_port}"]
    command += [f"--ray-client-server-port={client_port}"]
    command += [f"--dashboard-agent-listen-port={agent_port}"]
    command += [f"--object-store-memory={settings.ray.object_store_mib * 1024**2}"]
    command += [f"--temp-dir={_temp_dir(settings)}", "--disable-usage-stats"]
    # It reads every log again and again for drivers that show what workers print. Ours do not.
    command.append("--include-log-monitor=false")
    if settings.ray.num_cpus is not None:
        command.append(f"--num-cpus={int(settings.ray.num_cpus)}")
    return command


def _path() -> str:
    """PATH with this interpreter first: the `python` of `ray job submit -- python -m …`."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _start(settings: Settings) -> RunRecord | None:
    """Start one head and wait for it; None when it ended or did not get ready in time."""
    _temp_dir(settings).mkdir(mode=0o700, parents=True, exist_ok=True)
    with _log(settings).open("wb") as log:
        process = subprocess.Popen(
            head_command(settings),
            env=os.environ | ray_environment(settings) | {"NO_COLOR": "1", "PATH": _path()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    record = RunRecord(
        pid=process.pid,
        started=psutil.Process(process.pid).create_time(),
        gcs_port=settings.ray.port,
        dashboard_port=settings.ray.dashboard_port,
        temp_dir=str(_temp_dir(settings)),
    )
    write_record(settings.data_dir, record)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if _READY in _log(settings).read_text(errors="replace") and _answers(settings.ray.port):
            # The head looks after its parts once a second, and ends when one of them has.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SETTLING_S)
            return record if process.poll() is None else None
        time.sleep(0.2)
    return None


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
