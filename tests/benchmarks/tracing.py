"""What tracing costs a request, what it loses, and what requests notice of a database that is down.

    python -m tests.benchmarks.tracing [--rounds 3] [--seconds 30] [--rate 50] [--mask mask]

The real gateway over a light model, in processes of its own: one traces, one does not. Rounds of
`--seconds` alternate between them, with requests that are sent at fixed times whether or not the
earlier ones are answered: of ten, eight are plain chats (four of them streams) and two grounded
ones (one a stream) with eight passages of 1,200 characters. Times are from when a request was due
to its last byte; beside them stands what a request costs the gateway's process in CPU time, which
other programs on the machine disturb less. Then PostgreSQL, which holds the records, is stopped for
ten seconds in the middle of a round, once with the default buffer and once with one of 100 traces.

Bars: at most 2 ms more at the median, over rounds that lie no more than 4 ms apart; as many rows as
requests; with the database down no request fails, and requests without a row are as many as the
gateway counts as dropped.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import psutil
import psycopg

from cluster.database import Database
from tests.benchmarks.reporting import median, percentile, report
from tests.benchmarks.token_path import running
from tests.fixtures.system import free_port

ALIAS: Final = "assistant"
_BAR_MS: Final = 2.0
_SPREAD_MS: Final = 4.0
"""Rounds that lie further apart were measured on a busy machine and say nothing of the bar."""
_DOWN_S: Final = 10.0
_SMALL_BUFFER: Final = 100
_STARTS: Final = 6
_KINDS: Final = ("chat", "chat, streamed", "grounded", "grounded, streamed")
_MIX: Final = (0, 1, 0, 1, 2, 0, 1, 0, 1, 3)
_QUESTION: Final = "How long does parental leave last, and who pays for it?"


class Sent(NamedTuple):
    """One request."""

    kind: str
    ms: float
    status: int
    trace: str


class Rounds(NamedTuple):
    """Both sides compared."""

    added: dict[str, list[float]]
    """Milliseconds at p50, p95 and p99, by kind."""
    by_round: list[float]
    """Milliseconds at p50: how far they lie apart is how far the machine was disturbed."""
    requests: int
    """Of the traced side."""
    missing: int
    """Those of them without a row."""
    cpu_ms: dict[str, float]
    """What one request cost the gateway's process, by side."""
    latencies: dict[str, Any]


class Outage(NamedTuple):
    """What a database that was down cost."""

    buffer: int
    requests: int
    failed: int
    slowest_ms: float
    missing: int
    """Requests without a row, once everything is written."""
    dropped: int
    """What the gateway says it lost."""


def main() -> int:
    """Measure and report; 1 where a bar is missed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="everloop-bench-") as name:
        folder = Path(name)
        with postgres(folder) as records:
            rounds = _rounds(options, folder, records)
            added, lost = rounds.added, rounds.missing
            outages = [
                _outage(options, folder, records, buffer) for buffer in (2048, _SMALL_BUFFER)
            ]
    met = added["all"][0] <= _BAR_MS
    spread = max(rounds.by_round) - min(rounds.by_round)
    table: list[tuple[str, Any, str, bool]] = [
        (f"{kind}: added ms at p50, p95, p99", ", ".join(f"{ms:.2f}" for ms in values), "", True)
        for kind, values in added.items()
    ]
    table += [
        ("added ms at p50, all", added["all"][0], f"≤ {_BAR_MS:g}", met),
        ("added ms at p50, by round", ", ".join(f"{ms:.2f}" for ms in rounds.by_round), "", True),
        ("rounds lie apart by, ms", spread, f"≤ {_SPREAD_MS:g}", spread <= _SPREAD_MS),
        ("CPU ms a request, traced", rounds.cpu_ms["traced"], "", True),
        ("CPU ms a request, untraced", rounds.cpu_ms["untraced"], "", True),
        ("requests traced", rounds.requests, "", True),
        ("traces lost", lost, "0", lost == 0),
    ]
    for outage in outages:
        title = f"database down {_DOWN_S:g} s, buffer of {outage.buffer}"
        table += [
            (f"{title}: requests", outage.requests, "", True),
            (f"{title}: failed", outage.failed, "0", outage.failed == 0),
            (f"{title}: slowest, ms", outage.slowest_ms, "", True),
            (f"{title}: rows missing", outage.missing, "", True),
            (
                f"{title}: counted as dropped",
                outage.dropped,
                "= missing",
                outage.dropped == outage.missing,
            ),
        ]
    title = f"Tracing at {options.rate} requests/s, {options.rounds} rounds of {options.seconds} s"
    report(
        "tracing",
        title,
        ("figure", "value", "bar", "met"),
        table,
        mask=options.mask,
        latencies_ms=rounds.latencies,
        cores=os.cpu_count(),
    )
    return 0 if all(row[-1] for row in table) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=30, help="of each round on each side")
    parser.add_argument("--rate", type=int, default=50, help="requests a second")
    parser.add_argument("--mask", choices=("off", "mask"), default="off")
    return parser.parse_args()


def _rounds(options: argparse.Namespace, folder: Path, records: "Records") -> Rounds:
    """Alternate. Raises RuntimeError where a request fails."""
    sent: dict[str, list[list[Sent]]] = {"traced": [], "untraced": []}
    with (
        light_gateway(folder / "traced", records.url, f"--mask={options.mask}") as traced,
        light_gateway(folder / "untraced", records.url, "--untraced") as untraced,
    ):
        sides = {"traced": traced, "untraced": untraced}
        for url in sides.values():
            asyncio.run(send_load(url, options.rate, 5))
        before = {side: cpu_s(url) for side, url in sides.items()}
        for number in range(options.rounds):
            order = list(sides) if number % 2 == 0 else list(reversed(sides))
            for side in order:
                found = asyncio.run(send_load(sides[side], options.rate, options.seconds))
                sent[side].append(found)
                print(f"round {number + 1}: {side} p50 {latency(found, 0.5):.2f} ms", flush=True)
        _settled(traced)
        spent = {side: cpu_s(url) - before[side] for side, url in sides.items()}
    requests = [one for found in sent["traced"] for one in found]
    failed = [one for side in sent.values() for found in side for one in found if one.status != 200]
    if failed:
        raise RuntimeError(f"{len(failed)} requests failed, such as {failed[0]}")
    there = records.traces()
    missing = sum(one.trace not in there for one in requests)
    added = {kind: _added(sent, kind) for kind in ("all", *_KINDS)}
    latencies = {
        side: [
            {f"p{share * 100:g}": round(latency(found, share), 3) for share in (0.5, 0.95, 0.99)}
            for found in rounds
        ]
        for side, rounds in sent.items()
    }
    cpu_ms = {side: 1000 * seconds / len(requests) for side, seconds in spent.items()}
    by_round = [
        latency(one, 0.5) - latency(other, 0.5)
        for one, other in zip(sent["traced"], sent["untraced"], strict=True)
    ]
    return Rounds(added, by_round, len(requests), missing, cpu_ms, latencies)


def cpu_s(url: str) -> float:
    """CPU seconds of the process that listens there."""
    port = int(url.split(":")[2].split("/")[0])
    for process in psutil.Process().children():
        if str(port) in process.cmdline():
            times = process.cpu_times()
            return float(times.user + times.system)
    raise LookupError(f"no process for {url}")


def _added(sent: Mapping[str, list[list[Sent]]], kind: str) -> list[float]:
    """Medians over the rounds of what the traced side took longer."""
    return [
        median(
            latency(traced, share, kind) - latency(untraced, share, kind)
            for traced, untraced in zip(sent["traced"], sent["untraced"], strict=True)
        )
        for share in (0.5, 0.95, 0.99)
    ]


def latency(found: list[Sent], share: float, kind: str = "all") -> float:
    return percentile([one.ms for one in found if kind in ("all", one.kind)], share)


def _outage(options: argparse.Namespace, folder: Path, records: "Records", buffer: int) -> Outage:
    async def with_outage(url: str) -> list[Sent]:
        loading = asyncio.create_task(send_load(url, options.rate, 3 * int(_DOWN_S)))
        await asyncio.sleep(_DOWN_S)
        await asyncio.to_thread(records.stop)
        await asyncio.sleep(_DOWN_S)
        await asyncio.to_thread(records.start)
        return await loading

    with light_gateway(folder / f"down{buffer}", records.url, f"--buffer={buffer}") as url:
        asyncio.run(send_load(url, options.rate, 2))
        sent = asyncio.run(with_outage(url))
        dropped = _settled(url)["dropped"]
    there = records.traces()
    return Outage(
        buffer,
        len(sent),
        sum(one.status != 200 for one in sent),
        max(one.ms for one in sent),
        sum(one.trace not in there for one in sent),
        dropped,
    )


async def send_load(url: str, rate: int, seconds: int, key: str = "none") -> list[Sent]:
    """Send requests at fixed times; what became of each."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(
        base_url=url,
        timeout=60,
        trust_env=False,
        limits=limits,
        headers={"authorization": f"Bearer {key}"},
    ) as client:
        start = time.perf_counter() + 0.1
        tasks = []
        for number in range(rate * seconds):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(_send(client, number, due)))
        return list(await asyncio.gather(*tasks))


async def _send(client: httpx.AsyncClient, number: int, due: float) -> Sent:
    kind = _MIX[number % len(_MIX)]
    body: dict[str, Any] = {
        "model": ALIAS,
        "messages": [
            {"role": "system", "content": "Answer from the handbook."},
            {"role": "user", "content": f"{_QUESTION} ({number})"},
        ],
        "stream": "streamed" in _KINDS[kind],
    }
    if "grounded" in _KINDS[kind]:
        body["file_search"] = {"vector_store_ids": ["vs_light"]}
    try:
        answer = await client.post("/chat/completions", json=body)
    except httpx.HTTPError as error:
        return Sent(_KINDS[kind], (time.perf_counter() - due) * 1000, 0, repr(error))
    whole = b"[DONE]" in answer.content if body["stream"] else b'"choices"' in answer.content
    status = answer.status_code if whole or answer.status_code != 200 else 0
    ms = (time.perf_counter() - due) * 1000
    return Sent(_KINDS[kind], ms, status, answer.headers.get("x-trace-id", ""))


def _settled(url: str) -> dict[str, int]:
    """What became of the traces, once none waits. Raises TimeoutError after a minute."""
    deadline = time.monotonic() + 60
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        while time.monotonic() < deadline:
            answer = client.get("/traces/stats")
            if answer.status_code == 200 and not answer.json()["replica"]["waiting"]:
                found: dict[str, int] = answer.json()["replica"]
                return found
            time.sleep(0.2)
    raise TimeoutError("Traces still wait after a minute")


@contextmanager
def light_gateway(folder: Path, database: str, *options: str) -> Iterator[str]:
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.light_gateway", "--port", str(port)]
    command += ["--folder", str(folder), "--database", database, *options]
    with running(command, {}, f"http://127.0.0.1:{port}/healthz"):
        yield f"http://127.0.0.1:{port}/v1"


class Records:
    """A PostgreSQL server that can be stopped and started again."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = str(server.get_uri())

    def stop(self) -> None:
        """Stop it; its connections are cut."""
        import pgserver

        pgserver.pg_ctl(
            ["stop", "-m", "fast"],
            pgdata=self._server.pgdata,
            user=self._server.system_user,
        )

    def start(self) -> None:
        """Start it where it was. pgserver waits ten seconds; a machine under load takes longer."""
        for left in reversed(range(_STARTS)):
            try:
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):
                if not left:
                    raise
            else:
                return

    def traces(self) -> set[str]:
        """Ids of the rows."""
        with psycopg.connect(self.url) as connection:
            return {str(row[0]) for row in connection.execute("SELECT id FROM traces")}


@contextmanager
def postgres(folder: Path) -> Iterator[Records]:
    import pgserver

    folder.chmod(0o755)
    server = pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    records = Records(server)
    database = Database(records.url, pool_size=1)
    database.migrate()
    database.close()
    try:
        yield records
    finally:
        server.cleanup()


if __name__ == "__main__":
    sys.exit(main())
