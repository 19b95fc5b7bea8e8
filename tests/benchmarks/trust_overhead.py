"""What keys, quotas and guards cost a request that nothing is wrong with.

    python -m tests.benchmarks.trust_overhead [--rounds 3] [--seconds 20] [--rate 20]

The real gateway over a light model, in two processes: one asks for a key, counts quotas and runs
the default guards, without a judge; the other one does none of it. Rounds alternate between them,
with the mix of `tests.benchmarks.tracing`: eight of ten requests are plain chats, two are grounded
in eight passages of 1,200 characters, half of all are streams. Times are from when a request was
due to its last byte.

Bar: less than 8 ms more at the median of all, over rounds that lie no more than 8 ms apart.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.keys import key_digest, mint_key, shown_key
from cluster.records import ApiKey, Project
from tests.benchmarks.reporting import median, report
from tests.benchmarks.tracing import Sent, cpu_s, latency, light_gateway, postgres, send_load

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_BAR_MS: Final = 8.0


def main() -> int:
    """Measure and report; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20, help="of each round on each side")
    parser.add_argument("--rate", type=int, default=20, help="requests a second")
    options = parser.parse_args()
    sent: dict[str, list[list[Sent]]] = {"trusted": [], "open": []}
    with tempfile.TemporaryDirectory(prefix="everloop-bench-") as name:
        folder = Path(name)
        with postgres(folder) as records:
            key = _key(records.url)
            with (
                light_gateway(folder / "trusted", records.url, "--trusted") as trusted,
                light_gateway(folder / "open", records.url) as unguarded,
            ):
                sides = {"trusted": trusted, "open": unguarded}
                for url in sides.values():
                    asyncio.run(send_load(url, options.rate, 5, key))
                before = {side: cpu_s(url) for side, url in sides.items()}
                for number in range(options.rounds):
                    order = list(sides) if number % 2 == 0 else list(reversed(sides))
                    for side in order:
                        found = asyncio.run(
                            send_load(sides[side], options.rate, options.seconds, key)
                        )
                        sent[side].append(found)
                spent = {side: cpu_s(url) - before[side] for side, url in sides.items()}
    failed = [one for rounds in sent.values() for found in rounds for one in found]
    failed = [one for one in failed if one.status != 200]
    if failed:
        raise RuntimeError(f"{len(failed)} requests failed, such as {failed[0]}")
    by_round = [
        latency(one, 0.5) - latency(other, 0.5)
        for one, other in zip(sent["trusted"], sent["open"], strict=True)
    ]
    added, spread = median(by_round), max(by_round) - min(by_round)
    sides_ms = {side: median(latency(f, 0.5) for f in found) for side, found in sent.items()}
    rows = [
        ("added ms at p50", added, f"< {_BAR_MS:g}", added < _BAR_MS),
        ("rounds lie apart by, ms", spread, f"≤ {_BAR_MS:g}", spread <= _BAR_MS),
        ("p50 with keys, quotas and guards, ms", sides_ms["trusted"], "", True),
        ("p50 without, ms", sides_ms["open"], "", True),
    ]
    requests = options.rounds * options.seconds * options.rate
    rows += [
        (f"CPU ms a request, {side}", 1000 * seconds / requests, "", True)
        for side, seconds in spent.items()
    ]
    title = f"Keys and guards at {options.rate} requests/s, {options.rounds} × {options.seconds} s"
    columns = ("figure", "value", "bar", "met")
    report("trust_overhead", title, columns, rows, by_round_ms=by_round, cores=os.cpu_count())
    return 0 if all(row[-1] for row in rows) else 1


def _key(url: str) -> str:
    """Make a key of the default project."""
    key = mint_key()
    database = Database(url, pool_size=1)

    def save(session: "Session") -> None:
        if session.get(Project, DEFAULT_PROJECT) is None:
            session.add(Project(id=DEFAULT_PROJECT, name="default"))
            session.flush()
        session.add(
            ApiKey(
                id=new_id("key"),
                digest=key_digest(key),
                shown=shown_key(key),
                scopes=["inference", "training"],
            )
        )

    asyncio.run(database.run(save))
    database.close()
    return key


if __name__ == "__main__":
    sys.exit(main())
