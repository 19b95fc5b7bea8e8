"""What the system stands on while it is drilled, so that it can be taken away: disk, clock, stores.

Two sets of stores. `embedded`: SQLite and a folder, on a disk of their own that is small where this
user may mount one. `servers`: PostgreSQL, and an S3 server behind a proxy that can be slow or shut.
"""

import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.drills.clock import ShiftedClock
from tests.drills.doorway import Doorway
from tests.fixtures.system import System, test_environment

__all__ = ["SmallDisk", "Stores", "Surroundings", "running_system"]

Stores = Literal["embedded", "servers"]
_UP_TIMEOUT_S: Final = 600
_DOWN_TIMEOUT_S: Final = 120
_DISK_MIB: Final = 2048
_BUCKET: Final = "drills"
_SETTINGS: Final = {
    "EVERLOOP_INGESTION__FILE_TIMEOUT_S": "15",  # a hanging parser is seen soon
    "EVERLOOP_INGESTION__PARSER_MEMORY_MIB": "768",
}


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A file system of its own below the data folder."""

    folder: Path


@dataclass(frozen=True)
class Surroundings:
    """What there is to take away; None of what there is not."""

    stores: Stores = "embedded"
    disk: SmallDisk | None = None
    clock: ShiftedClock | None = None
    postgres: Any = None
    """pgserver's PostgresServer."""
    doorway: Doorway | None = None
    """The way to the byte store."""
    running_system: bool = False
    """Somebody else's, which was up already."""


@contextmanager
def running_system(
    stores: Stores, base_url: str | None = None, data_dir: Path | None = None
) -> Iterator[tuple[System, Surroundings]]:
    """The system at `base_url`, which is left running; else one of its own, stopped at the end."""
    if base_url is not None:
        folder = (data_dir or Path("~/.everloop")).expanduser()
        yield System(base_url, folder, dict(os.environ)), Surroundings(running_system=True)
        return
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="everloop-drills-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = stack.enter_context(_small_disk(folder)) if stores == "embedded" else None
        clock = ShiftedClock.build(folder)
        environment = test_environment(folder / "data") | _SETTINGS
        if clock is not None:
            environment |= clock.environment
        postgres, doorway = None, None
        if stores == "servers":
            postgres, url = stack.enter_context(_postgres(folder))
            doorway, options = stack.enter_context(_byte_store())
            environment |= {
                "EVERLOOP_DATABASE__URL": url,
                "EVERLOOP_STORAGE__URL": f"s3://{_BUCKET}",
                "EVERLOOP_STORAGE__OPTIONS": json.dumps(options),
            }
        url = f"http://127.0.0.1:{environment['EVERLOOP_HTTP__PORT']}/v1"
        system = System(url, folder / "data", environment)
        stack.callback(system.everloop, "down", timeout_s=_DOWN_TIMEOUT_S)
        started = system.everloop("up", timeout_s=_UP_TIMEOUT_S)
        if started.returncode:
            raise RuntimeError(f"everloop up failed: {started.stdout[-2000:]}{started.stderr}")
        yield system, Surroundings(stores, disk, clock, postgres, doorway)


@contextmanager
def _small_disk(folder: Path) -> Iterator[SmallDisk | None]:
    """Mount a file system in memory as the data folder; None where this user may not."""
    data = folder / "data"
    data.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m,mode=700", "tmpfs", str(data)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    try:
        yield SmallDisk(data)
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@contextmanager
def _postgres(folder: Path) -> Iterator[tuple[Any, str]]:
    """A PostgreSQL server, and the URL of its database."""
    import pgserver

    server = pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    try:
        yield server, str(server.get_uri())
    finally:
        server.cleanup()


@contextmanager
def _byte_store() -> Iterator[tuple[Doorway, dict[str, Any]]]:
    """An S3 server in this process, the way to it, and the options of a store that takes it."""
    import fsspec
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        with Doorway(server.get_host_and_port()[1]) as doorway:
            options: dict[str, Any] = {
                "endpoint_url": f"http://127.0.0.1:{doorway.port}",
                "key": "test",
                "secret": "test",
                "client_kwargs": {"region_name": "eu-west-1"},
            }
            fsspec.filesystem("s3", **options).makedirs(_BUCKET, exist_ok=True)
            yield doorway, options
    finally:
        server.stop()
