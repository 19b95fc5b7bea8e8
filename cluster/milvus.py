"""The embedded Milvus: a Lite server on loopback, restarted when it dies.

`ensure_milvus` is what everybody calls. With a Milvus of one's own (`milvus.uri`) nothing is
started here.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import VectorDatabaseError
from cluster.http2_greeting import greeting

if TYPE_CHECKING:
    from cluster.settings import MilvusSettings

__all__ = ["MilvusKeeper", "MilvusLiteServer", "ensure_milvus", "stop_milvus"]

_log = logging.getLogger(__name__)
NAMESPACE: Final = "everloop"
KEEPER_NAME: Final = "milvus_keeper"
_HOST: Final = "127.0.0.1"  # the server has no authentication: never beyond this machine
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_STEADY_S: Final = 30.0  # after this long, a death is a new one and not a crash loop
_STOP_S: Final = 15.0
_LOOK_S: Final = 3.0
_PORT_S: Final = 3.0
_LOG_TAIL_BYTES: Final = 600


class MilvusLiteServer:
    """A `milvus-lite server` process and the thread that keeps it alive.

    One that has taken no connection for `stall_timeout_s` hangs: it is killed and replaced.

    The thread spawns every process, because the kernel ties a child's death signal to the thread
    that made it. The server dies with this process, even by kill -9.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int,
        *,
        log_file: Path,
        start_timeout_s: float = 60.0,
        stall_timeout_s: float = 30.0,
    ) -> None:
        self._data_dir = data_dir
        self._port = port
        self._log_file = log_file
        self._start_timeout_s = start_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._error: VectorDatabaseError | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.restarts = 0
        """How often a server that answered has been replaced."""

    @property
    def uri(self) -> str:
        """What clients connect to."""
        return f"http://{_HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Process id of the server that answers now."""
        with self._changed:
            return self._process.pid if self._ready and self._process else None

    def launch(self) -> None:
        """Start and go on; `wait_ready` says when it answers, and failures are tried again."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._supervise, name="milvus-lite", daemon=True)
            self._thread.start()

    def start(self) -> None:
        """Start and wait until it answers. Raises VectorDatabaseError, and is then stopped."""
        self.launch()
        try:
            self.wait_ready()
        except VectorDatabaseError:
            self.stop()
            raise

    def wait_ready(self) -> None:
        """Return once the server answers. Raises VectorDatabaseError with the reason if not."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._ready or self._error is not None, self._start_timeout_s + 10
            )
            if self._ready:
                return
            if self._error is not None:
                raise self._error
        if not done:
            raise VectorDatabaseError(
                f"Milvus Lite on port {self._port} did not start in {self._start_timeout_s:.0f} s.",
                fix=f"See {self._log_file}.",
            )

    def stop(self) -> None:
        """Stop the server, letting it finish what it writes."""
        self._stopping.set()
        with self._changed:
            process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)

    def _supervise(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                process = self._spawn()
                self._await_answer(process)
            except VectorDatabaseError as error:
                self._become(ready=False, error=error)
            else:
                self._become(ready=True, error=None)
                self._watch(process)
                self._become(ready=False, error=None)
                if not self._stopping.is_set():
                    self.restarts += 1
            if time.monotonic() - started > _STEADY_S:
                pause = _FIRST_PAUSE_S
            self._stopping.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _become(self, *, ready: bool, error: VectorDatabaseError | None) -> None:
        with self._changed:
            self._ready, self._error = ready, error
            self._changed.notify_all()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._await_free_port()
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "cluster.milvus_process", str(os.getpid())]
        command += ["--data-dir", str(self._data_dir), "--host", _HOST, "--port", str(self._port)]
        with self._log_file.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        with self._changed:
            self._process = process
        return process

    def _await_free_port(self) -> None:
        """Wait for a predecessor that is being killed to give its port back."""
        deadline = time.monotonic() + _PORT_S
        while not _is_free(self._port):
            if time.monotonic() > deadline or self._stopping.is_set():
                raise VectorDatabaseError(
                    f"Port {self._port} on {_HOST} is taken by another program.",
                    fix="Stop that program or set EVERLOOP_MILVUS__PORT.",
                )
            time.sleep(0.1)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Return when it has ended. A busy one still takes connections; a stopped one does not."""
        heard = time.monotonic()
        look_s = min(_LOOK_S, self._stall_timeout_s)
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(look_s)
                return
            if _greets(self._port, look_s):
                heard = time.monotonic()
            elif time.monotonic() - heard > self._stall_timeout_s:
                _log.error(
                    "Milvus Lite (pid %d) took no connection for %.0f s; it is killed.",
                    process.pid,
                    self._stall_timeout_s,
                )
                process.kill()

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline and not self._stopping.is_set():
            if process.poll() is not None:
                raise VectorDatabaseError(
                    f"Milvus Lite on {self._data_dir} ended with status {process.returncode}: "
                    f"{self._last_words()}",
                    fix=f"See {self._log_file}.",
                )
            if _greets(self._port, 1.0):
                return
            time.sleep(0.2)
        process.kill()
        raise VectorDatabaseError(
            f"Milvus Lite on port {self._port} did not answer in {self._start_timeout_s:.0f} s.",
            fix=f"See {self._log_file}.",
        )

    def _last_words(self) -> str:
        text = self._log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return text.splitlines()[-1] if text else "it wrote nothing"


def _greets(port: int, timeout_s: float) -> bool:
    """Whether the server says a word. gRPC's own waits would hang where the clock was set back."""
    with contextlib.suppress(OSError):
        return bool(greeting((_HOST, port), timeout_s))
    return False


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


class MilvusKeeper:
    """The Ray actor that owns the Lite server: detached, named, restarted by Ray for ever.

    Killed with kill -9 it takes the server along, and comes back with a new one on the same data.
    """

    def __init__(self, data_dir: str, port: int) -> None:
        root = Path(data_dir)
        self._server = MilvusLiteServer(
            root / "milvus", port, log_file=root / "logs" / "milvus.log"
        )
        self._server.launch()

    def uri(self) -> str:
        """Where the server answers, once it does. Raises VectorDatabaseError."""
        self._server.wait_ready()
        return self._server.uri

    def state(self) -> dict[str, Any]:
        """Process id and number of restarts, for `everloop status`."""
        return {
            "uri": self._server.uri,
            "pid": self._server.pid,
            "restarts": self._server.restarts,
        }

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()


def ensure_milvus(settings: "MilvusSettings", data_dir: Path, *, timeout_s: float = 90.0) -> str:
    """Return the URI of a Milvus that answers; start the embedded one on this node where needed.

    Needs an initialised Ray unless `settings.uri` is set. Raises VectorDatabaseError.
    """
    if settings.uri:
        return settings.uri
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    keeper = (
        ray.remote(MilvusKeeper)
        .options(
            name=KEEPER_NAME,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=3,
            max_concurrency=16,
            scheduling_strategy=here,
        )
        .remote(str(data_dir), settings.port)
    )
    try:
        return str(ray.get(keeper.uri.remote(), timeout=timeout_s))
    except VectorDatabaseError:
        ray.kill(keeper)  # it would go on trying under settings that may be wrong
        raise
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError) as error:
        raise VectorDatabaseError(
            f"The keeper of Milvus Lite did not answer in {timeout_s:.0f} s: {error}",
            fix=f"See {data_dir / 'logs' / 'milvus.log'}.",
        ) from error


def stop_milvus() -> bool:
    """Stop the embedded Milvus of the Ray cluster this process is connected to, if it runs."""
    import ray

    try:
        keeper = ray.get_actor(KEEPER_NAME, namespace=NAMESPACE)
    except ValueError:
        return False
    gone = (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError)
    with contextlib.suppress(*gone):  # killing the actor kills its server
        ray.get(keeper.stop.remote(), timeout=2 * _STOP_S)
    ray.kill(keeper)
    return True
