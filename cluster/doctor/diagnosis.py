"""Run the checks with the real probes of this machine."""

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from cluster.confinement.probe import probe_layers
from cluster.doctor.check import Check
from cluster.doctor.encryption import check_certificate, check_front
from cluster.doctor.machine import (
    check_data_folder,
    check_disk,
    check_gpu,
    check_memory,
    check_placement,
    check_ports,
    check_processor,
    check_ray_exposure,
    flags_of,
)
from cluster.doctor.packages import check_lock, check_python, check_torchvision, parse_lock
from cluster.doctor.sandbox import check_sandbox
from cluster.doctor.services import check_model_files, check_service
from cluster.errors import VectorDatabaseError
from cluster.launch.processes import cluster_id, listener_on, marked_processes
from cluster.masking import without_password
from cluster.models import verify_model
from cluster.private_folder import make_private_folder
from cluster.settings import Settings

__all__ = ["diagnose", "fatal_checks", "part_listeners"]

_LOCK: Final = Path(__file__).parent.parent / "requirements" / "cpu.lock"
_DATA_GIB: Final = 2.0
_CACHE_GIB: Final = 2.0
_PARTS: Final = (
    "gcs_server",
    "raylet",
    "ray::",
    "ray-dashboard",
    "ray.util.client",
    "cluster.milvus_process",
)
_NAMING_WORDS: Final = 3
"""As many words of a command line say which program it is: `python -m module`."""


def fatal_checks(settings: Settings, *, running: bool) -> list[Check]:
    """Run the quick checks: those whose failure makes a start pointless."""
    gpus = _gpus()
    cpus = settings.ray.num_cpus or float(os.cpu_count() or 1)
    checks = [
        check_python(sys.version_info[:2]),
        check_torchvision(_installed),
        check_processor(flags_of(_cpuinfo()), settings),
        check_gpu(gpus, settings),
        check_memory(psutil.virtual_memory().available, settings, running=running),
        check_disk(str(settings.data_dir), _room(settings.data_dir), _DATA_GIB),
        check_disk(str(settings.cache_dir), _room(settings.cache_dir), _CACHE_GIB),
        check_ports(settings, listener_on, running=running),
        check_certificate(settings),
    ]
    if settings.ray.address is None:
        checks.append(check_placement(settings, cpus, len(gpus or [])))
    return checks


def diagnose(settings: Settings) -> list[Check]:
    """Run every check."""
    running = bool(marked_processes(cluster_id(settings.data_dir)))
    checks = fatal_checks(settings, running=running)
    if _LOCK.is_file() and not any(model.device == "gpu" for model in settings.models):
        checks.append(check_lock(parse_lock(_LOCK.read_text()), _installed))
    required = settings.ingestion.sandbox == "required"
    checks += [
        check_ray_exposure(part_listeners(), front=settings.http.port),
        check_front(settings),
        check_data_folder(settings.data_dir),
        check_sandbox(probe_layers(), required=required),
    ]
    checks += [
        check_service(
            "database", lambda: _database(settings), expected=_database_is_there(settings)
        ),
        check_service("storage", lambda: _storage(settings)),
        check_service(
            "milvus", lambda: _milvus(settings), expected=running or settings.milvus.uri is not None
        ),
    ]
    for source in dict.fromkeys([*(m.source for m in settings.models), settings.embedding.source]):
        if source.startswith("packaged:"):
            checks.append(check_model_files(source, lambda s: verify_model(s, settings.cache_dir)))
    return checks


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _gpus() -> list[str] | None:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        run = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip().splitlines() if run.returncode == 0 else None


def _room(folder: Path) -> int | None:
    """Free bytes under `folder`, or None when nothing can be written there."""
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def part_listeners() -> Iterator[tuple[str, int, str]]:
    """Address, port and program of each TCP socket on which Ray or Milvus Lite listens here."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        if connection.pid is None:
            continue
        try:
            process = psutil.Process(connection.pid)
            title = " ".join([process.name(), *process.cmdline()[:_NAMING_WORDS]])
        except psutil.Error:
            continue
        if any(part in title for part in _PARTS):
            yield connection.laddr.ip, connection.laddr.port, process.name()


def _database_is_there(settings: Settings) -> bool:
    return settings.database.url is not None or (settings.data_dir / "everloop.db").exists()


def _database(settings: Settings) -> str:
    from cluster.database import Database

    database = Database(settings.database_url, pool_size=1)
    try:
        database.check()
        return database.url
    finally:
        database.close()


def _storage(settings: Settings) -> str:
    from cluster.storage import ByteStore

    ByteStore(settings.storage_url, dict(settings.storage.options)).check()
    return without_password(settings.storage_url)


def _milvus(settings: Settings) -> str:
    address = urlsplit(settings.milvus_uri)
    port = address.port or (443 if address.scheme == "https" else 19530)
    try:
        with socket.create_connection((address.hostname or "127.0.0.1", port), timeout=5):
            return without_password(settings.milvus_uri)
    except OSError as error:
        raise VectorDatabaseError(
            f"Milvus at {without_password(settings.milvus_uri)} does not answer: {error}.",
            fix="Check milvus.uri and that the server runs; `everloop up` starts the embedded one.",
        ) from error
