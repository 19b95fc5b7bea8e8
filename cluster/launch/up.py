"""`everloop up` and `everloop down`: the steps, in order. Each may be run again at any time."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from cluster.errors import LaunchError
from cluster.launch.application import deploy, is_running, settings_digest, undeploy
from cluster.launch.first_key import FirstKey, ensure_first_key
from cluster.launch.probe import is_ready
from cluster.launch.processes import cluster_id, marked_processes
from cluster.launch.ray_head import connect, ensure_ray_head, stop_ray_head
from cluster.launch.run_record import read_record, run_dir, write_record
from cluster.masking import without_password
from cluster.models import ensure_model
from cluster.settings import Settings

__all__ = ["Steps", "down", "up"]

_READY_TIMEOUT_S: Final = 900.0
_LOCK_TIMEOUT_S: Final = 1.0


class Steps(Protocol):
    """How the steps are shown."""

    def run(self, title: str, action: Callable[[Callable[[str], None]], str]) -> None:
        """Carry out `action`, which reports as it goes and returns what it found or did."""
        ...


def up(settings: Settings, steps: Steps) -> FirstKey:
    """Bring everything up, or find that it is. Raises EverloopError at the first step that fails.

    A second call while all runs with the same settings takes seconds and changes nothing. Returns
    how this machine gets in.
    """
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(run_dir(settings.data_dir) / "up.lock")
        lock.acquire(timeout=_LOCK_TIMEOUT_S)
    except Timeout as error:
        raise LaunchError(
            f"Another `everloop up` or `down` is at work on {settings.data_dir}.",
            fix="Wait for it, or end it.",
        ) from error
    except OSError as error:
        raise LaunchError(
            f"data_dir {settings.data_dir} cannot be written: {error}.", fix="Set another folder."
        ) from error
    with lock:
        steps.run("Check this machine", lambda _report: _check(settings))
        steps.run("Prepare the models", lambda report: _models(settings, report))
        steps.run("Bring the records up to date", lambda _report: _migrate(settings))
        keys: list[FirstKey] = []
        steps.run("Find the key", lambda _report: _key(settings, keys))
        steps.run("Start Ray", lambda report: _ray(settings, report))
        steps.run("Start Milvus", lambda report: _milvus(settings, report))
        steps.run("Start the application", lambda report: _application(settings, report))
    return keys[0]


def down(settings: Settings) -> int:
    """Stop everything that `up` started, and only that. Returns the number of processes ended."""
    if settings.ray.address is not None:
        connect(settings)
        undeploy()
        return 0
    return stop_ray_head(settings)


def _check(settings: Settings) -> str:
    from cluster.doctor import fatal_checks

    running = bool(marked_processes(cluster_id(settings.data_dir)))
    failed = [check for check in fatal_checks(settings, running=running) if check.status == "fail"]
    if failed:
        raise LaunchError(
            "; ".join(f"{check.name}: {check.found}" for check in failed) + ".",
            fix=" ".join(check.advice for check in failed),
        )
    return "nothing in the way"


def _models(settings: Settings, report: Callable[[str], None]) -> str:
    sources = [model.source for model in settings.models] + [settings.embedding.source]
    if settings.retrieval.reranker != "late-interaction":
        sources.append(settings.retrieval.reranker)
    for source in dict.fromkeys(sources):
        ensure_model(source, settings.cache_dir, progress=report)
    return ", ".join([model.id for model in settings.models] + [settings.embedding.id])


def _migrate(settings: Settings) -> str:
    from cluster.database import Database

    database = Database(settings.database_url, pool_size=1)
    try:
        copy = database.keep_copy()
        database.migrate()
        return database.url if copy is None else f"{database.url}, as it was kept in {copy}"
    finally:
        database.close()


def _key(settings: Settings, found: list[FirstKey]) -> str:
    found.append(ensure_first_key(settings))
    return found[0].said


def _ray(settings: Settings, report: Callable[[str], None]) -> str:
    if settings.ray.address is None:
        ensure_ray_head(settings, report)
    connect(settings)
    return settings.ray.address or f"dashboard http://127.0.0.1:{settings.ray.dashboard_port}"


def _milvus(settings: Settings, report: Callable[[str], None]) -> str:
    from cluster.milvus import ensure_milvus

    report(without_password(settings.milvus_uri))
    return without_password(ensure_milvus(settings.milvus, settings.data_dir))


def _application(settings: Settings, report: Callable[[str], None]) -> str:
    digest = settings_digest(settings)
    record = read_record(settings.data_dir) if settings.ray.address is None else None

    def check() -> None:
        if record is not None and not record.alive:
            raise LaunchError(
                "Ray ended while the application was starting.",
                fix=f"Was it `everloop down`? Else Ray's logs in {record.temp_dir} tell why.",
            )

    if record is not None and record.settings_digest == digest and is_running():
        _await_ready(settings, report, check)
        return f"{settings.base_url} (was running)"
    deploy(settings, report, timeout_s=_READY_TIMEOUT_S, check=check)
    _await_ready(settings, report, check)
    if record is not None:
        write_record(settings.data_dir, replace(record, settings_digest=digest))
    return settings.base_url


def _await_ready(
    settings: Settings, report: Callable[[str], None], check: Callable[[], None]
) -> None:
    deadline = time.monotonic() + 120.0
    while not is_ready(settings):
        check()
        report("waiting for /readyz")
        if time.monotonic() > deadline:
            raise LaunchError(
                "The application runs, but /readyz does not answer 200.",
                fix="`everloop status` shows which part is missing.",
            )
        time.sleep(0.3)
