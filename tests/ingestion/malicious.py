"""A loader that a bad document has taken over: it does what the document says, and tells."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ingestion.loaders.limits import DocumentLimits
from ingestion.passages import ParsedDocument

__all__ = ["load"]


def load(data: bytes, _filename: str, _limits: DocumentLimits) -> ParsedDocument:
    """Do the deed that the first word names to the rest; the text says how it went."""
    name, _, argument = data.decode().partition(" ")
    try:
        said = str(_DEEDS[name](argument))
    except OSError as error:
        said = f"refused: {type(error).__name__}"
    return ParsedDocument(text=said, blocks=(), language=None, pages=None, mime="text/plain")


def _connect(kind: socket.SocketKind) -> Callable[[str], str]:
    def connect(port: str) -> str:
        with socket.socket(socket.AF_INET, kind) as made:
            made.connect(("127.0.0.1", int(port)))
            made.send(b"secret")
        return "connected"

    return connect


def _unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(path)
    return "connected"


def _fork(_: str) -> int:
    made = 0
    for _number in range(5000):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
    return made


def _threads(_: str) -> str:
    stop = threading.Event()
    made = 0
    try:
        for _number in range(100_000):
            threading.Thread(target=stop.wait, daemon=True).start()
            made += 1
    except RuntimeError:
        return "bounded"
    finally:
        stop.set()
    return str(made)


def _write(path: str) -> str:
    Path(path).write_text("x")
    return "written"


def _fill(_: str) -> str:
    with Path("full").open("wb") as file:
        for _number in range(1024):
            file.write(bytes(1024**2))
    return "filled"


def _hoard(_: str) -> int:
    return len(bytearray(16 * 1024**3))


def _die(_: str) -> None:
    os._exit(7)


def _hang(_: str) -> None:
    time.sleep(3600)


def _print(_: str) -> str:
    print('{"bytes": 0, "error": "forged", "fix": ""}', flush=True)
    sys.stdout.buffer.flush()
    return "printed"


_DEEDS: dict[str, Callable[[str], object]] = {
    "tcp": _connect(socket.SOCK_STREAM),
    "udp": _connect(socket.SOCK_DGRAM),
    "unix": _unix,
    "read": lambda path: Path(path).read_bytes()[:20],
    "list": lambda path: sorted(os.listdir(path))[:3],  # noqa: PTH208
    "write": _write,
    "keep": lambda name: _write(name),
    "fill": _fill,
    "environment": lambda _: sorted(os.environ),
    "values": lambda _: " ".join(os.environ.values()),
    "fork": _fork,
    "threads": _threads,
    "run": lambda program: subprocess.run([program], check=False).returncode,
    "kill": lambda pid: os.kill(int(pid), 0),
    "descriptors": lambda _: [number for number in range(3, 64) if _is_open(number)],
    "hoard": _hoard,
    "die": _die,
    "hang": _hang,
    "print": _print,
}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
