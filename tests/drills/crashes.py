"""Drills without Ray: a process that writes to the records is killed -9 between two instructions.

Each forks a process that does one kind of work in a loop and says what is committed over a pipe;
the parent kills it at a moment that the seed says, and looks for all that it heard of.
"""

import contextlib
import hashlib
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Final

from cluster.database import Database
from cluster.storage import ByteStore

__all__ = ["CRASHES", "Crash", "crash"]

_FIRST_WORD_S: Final = 60.0
_MOMENT_S: Final = (0.0, 0.12)
_MOST: Final = 5_000
"""Things that one process does, if nobody kills it."""
_DIGEST_BYTES: Final = 32
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_IMPORTED_ONCE: Final = [
    "cluster.database",
    "cluster.records",
    "deployments.feedback.saving",
    "deployments.gateway.registry.moves",
    "ingestion.ledger",
    "tests.fakes.document_path",
    "tests.drills.crashes",
]

Work = Callable[[Path, int, Connection], None]
Check = Callable[[Path, list[str]], list[str]]


@dataclass(frozen=True, slots=True)
class Crash:
    """One process that was killed."""

    kind: str
    seed: int
    acknowledged: int
    lost: list[str]
    seconds: float
    """Until all that was acknowledged had been found again."""


def crash(kind: str, seed: int, folder: Path) -> Crash:
    """Kill a process at work of a kind in an empty `folder`. Raises RuntimeError if it is mute."""
    work, check = CRASHES[kind]
    random = Random(f"{kind}:{seed}")
    Database(_url(folder), pool_size=1).migrate()
    _CONTEXT.set_forkserver_preload(_IMPORTED_ONCE)
    hear, say = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=work, args=(folder, seed, say), daemon=True)
    process.start()
    say.close()
    if not hear.poll(_FIRST_WORD_S):
        process.kill()
        raise RuntimeError(f"The process of the {kind} crash said nothing.")
    time.sleep(random.uniform(*_MOMENT_S))
    process.kill()
    process.join()
    acknowledged: list[str] = []
    with contextlib.suppress(EOFError):  # its end of the pipe is closed
        while True:
            acknowledged.append(hear.recv())
    began = time.monotonic()
    lost = [*_integrity(folder), *check(folder, acknowledged)]
    return Crash(kind, seed, len(acknowledged), lost, time.monotonic() - began)


def _ingest(folder: Path, seed: int, say: Connection) -> None:
    """Attach documents and carry each through the real pipeline."""
    import asyncio

    from tests.fakes.document_path import DocumentPath

    path = DocumentPath(Database(_url(folder), pool_size=2), folder)
    store, random = path.store(), Random(seed)

    async def run() -> None:
        for count in range(_MOST):
            number = path.attach(store, f"The word is {random.random()}.", f"{count}.txt")
            say.send(f"attached {number}")
            if random.random() < 0.5:
                await path.ingestor.drain()
                say.send(f"completed {number}")

    asyncio.run(run())


def _ingested(folder: Path, acknowledged: list[str]) -> list[str]:
    """Everything attached gets done after the crash; what was done has stayed so."""
    import asyncio

    from tests.fakes.document_path import DocumentPath

    path = DocumentPath(Database(_url(folder), pool_size=2), folder)
    said = [word.split() for word in acknowledged]
    numbers = [(what, int(number)) for what, number in said]
    found = [
        f"document {number}, which was completed, is {path.row(number).stage}"
        for what, number in numbers
        if what == "completed" and path.row(number).stage != "completed"
    ]

    async def go_on() -> None:
        await path.ledger.recover(max_attempts=3)
        await path.ingestor.drain()

    path.now += 10 * path.ledger.lease_s
    asyncio.run(go_on())
    return found + [
        f"document {number} is {path.row(number).stage}"
        for what, number in numbers
        if what == "attached" and path.row(number).stage != "completed"
    ]


def _feed_back(folder: Path, seed: int, say: Connection) -> None:
    """Say something of traces, and change some of it."""
    from cluster.records import Trace
    from deployments.feedback.saving import Opinion, save_opinion

    database, random = Database(_url(folder), pool_size=1), Random(seed)
    for count in range(_MOST):
        trace_id = f"trace_{count // 2}"
        with database.session() as session:
            if count % 2 == 0:
                session.add(Trace(id=trace_id, request_id=trace_id, route="/v1/chat", status=200))
        comment = f"comment {random.random()}"
        with database.session() as session:
            row = save_opinion(session, Opinion(trace_id, {"comment": comment}))
        say.send(f"{row.id} {comment}")


def _fed_back(folder: Path, acknowledged: list[str]) -> list[str]:
    from cluster.records import Feedback

    last = dict(word.split(" ", 1) for word in acknowledged)
    with Database(_url(folder), pool_size=1).session(read_only=True) as session:
        kept = {row.id: row.comment for row in session.query(Feedback)}
    newest = list(last)[-1:]  # one more change of it may have been committed, and not told
    return [
        f"{key} says {kept.get(key)!r}, not {comment!r}"
        for key, comment in last.items()
        if kept.get(key) != comment and (key not in kept or key not in newest)
    ]


def _promote(folder: Path, seed: int, say: Connection) -> None:
    """Move an alias to and fro."""
    from deployments.gateway.registry.moves import Move, apply_move, current_alias

    database, random = Database(_url(folder), pool_size=1), Random(seed)
    for _ in range(_MOST):
        target = f"ft:base:{random.randrange(1000)}"
        with database.session() as session:
            current = current_alias(session, "assistant", "assistant", "base")
            moved = apply_move(session, Move("assistant", target, "override", "a drill"), current)
        say.send(f"{moved.version} {target}")


def _promoted(folder: Path, acknowledged: list[str]) -> list[str]:
    from cluster.records import Alias, AliasMove

    with Database(_url(folder), pool_size=1).session(read_only=True) as session:
        history = {row.version: row.target for row in session.query(AliasMove)}
        alias = session.query(Alias).one()
        stands = (alias.version, alias.target)
    found = [
        f"move {version} is to {history.get(int(version))}, not to {target}"
        for version, target in (word.split(" ") for word in acknowledged)
        if history.get(int(version)) != target
    ]
    if stands != (max(history), history[max(history)]):
        found.append(f"the alias stands at {stands}, and its last move is {max(history)}")
    return found


def _store(folder: Path, seed: int, say: Connection) -> None:
    """Write objects that end with their own digest, and replace one of them again and again."""
    store, random = ByteStore(f"file://{folder / 'bytes'}"), Random(seed)
    for count in range(_MOST):
        key = "same" if count % 3 == 0 else f"object_{count}"
        data = random.randbytes(random.randint(1, 100_000))
        store.put(key, [data, hashlib.sha256(data).digest()])
        say.send(f"{key} {hashlib.sha256(data).hexdigest()}")


def _stored(folder: Path, acknowledged: list[str]) -> list[str]:
    store = ByteStore(f"file://{folder / 'bytes'}")
    found = []
    for key, wanted in dict(word.split(" ") for word in acknowledged).items():
        kept = store.read(key) if store.exists(key) else b""
        digest = hashlib.sha256(kept[:-_DIGEST_BYTES]).hexdigest()
        if digest != kept[-_DIGEST_BYTES:].hex():
            found.append(f"{key} is gone or torn")
        elif key != "same" and digest != wanted:
            found.append(f"{key} has other bytes")
    return found


def _integrity(folder: Path) -> list[str]:
    import sqlite3

    with contextlib.closing(sqlite3.connect(folder / "everloop.db")) as connection:
        ((told,),) = connection.execute("PRAGMA integrity_check").fetchall()
    return [] if told == "ok" else [f"SQLite says: {told}"]


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'everloop.db'}"


CRASHES: Final[dict[str, tuple[Work, Check]]] = {
    "documents": (_ingest, _ingested),
    "feedback": (_feed_back, _fed_back),
    "promotions": (_promote, _promoted),
    "bytes": (_store, _stored),
}
"""What a process does, and how what it acknowledged is looked for."""
