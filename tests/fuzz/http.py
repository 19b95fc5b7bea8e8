"""`python -m tests.fuzz.http`: every route, from the OpenAPI document and beyond it.

Without `--url` the real gateway over fakes, in this process; with it a running system, whose
records are then full of rubbish: never one that is in use. It says how far it is at every
thousandth request; Ctrl-C ends it with the figures so far.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.fuzz.attempts import AsgiSender, Attempt, Sender, UrlSender
from tests.fuzz.judging import Fault, Judge
from tests.fuzz.known import Known
from tests.fuzz.made_up import Operation, operations
from tests.fuzz.twists import twisted
from tests.fuzz.world import known_objects, planted_world

__all__ = ["Outcome", "fuzz_gateway", "fuzz_url"]

_ROUND: Final = 2000
"""Requests to one world, before what the requests deleted and changed is put right by a new one."""
_AT_ONCE: Final = 6
_TWISTS: Final = 3
"""Bent requests for each that is sent as it was made."""
_LIMIT_S: Final = 30.0
_SLOW_S: Final = 20.0
_ANSWER_S: Final = 180.0
"""A real model may write an answer of its whole context, beside others that do."""
_SHOWN: Final = 25
_TOLD: Final = 1000


@dataclass
class Outcome:
    """What was sent and what came of it."""

    seed: int
    requests: int = 0
    twisted: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)
    """Operations that answered 2xx at least once."""
    faults: list[Fault] = field(default_factory=list)
    slowest_s: float = 0.0
    tell: Callable[["Outcome"], None] = lambda _outcome: None

    def report(self) -> dict[str, Any]:
        """The figures."""
        kinds = Counter(fault.kind for fault in self.faults)
        return {
            "seed": self.seed,
            "requests": self.requests,
            "twisted": self.twisted,
            "operations": len(self.operations),
            "operations_with_2xx": len(self.succeeded),
            "statuses": dict(sorted(self.statuses.items())),
            "slowest_s": round(self.slowest_s, 2),
            "faults": dict(kinds),
        }


async def fuzz_gateway(
    outcome: Outcome, requests: int, folder: Path, *, drawn_share: float = 1.0
) -> None:
    """Send so many to the gateway over fakes, with its bytes and records in `folder`.

    `drawn_share`: see `operations`.
    """
    chance = random.Random(outcome.seed)
    made: list[Operation] | None = None
    for number in range(-(-requests // _ROUND)):
        async with planted_world(folder, number) as world:
            document = world.app.openapi()
            made = made or list(operations(document, drawn_share))
            sender = AsgiSender(world.app, _LIMIT_S)
            judge = Judge(document, slow_s=_SLOW_S, secrets=(str(folder),))
            known = await known_objects(sender, chance, world)
            count = min(_ROUND, requests - outcome.requests)
            await _round(count, made, sender, judge, known, outcome, chance)


async def fuzz_url(outcome: Outcome, requests: int, url: str, key: str | None) -> None:
    """Send so many to the system at `url`."""
    chance = random.Random(outcome.seed)
    sender = UrlSender(url, _ANSWER_S, key)
    document = await _document(sender)
    made = list(operations(document))
    secrets = (key,) if key else ()
    judge = Judge(document, slow_s=_ANSWER_S, secrets=secrets, behind_server=True)
    while outcome.requests < requests:
        known = await known_objects(sender, chance, None)
        count = min(_ROUND, requests - outcome.requests)
        await _round(count, made, sender, judge, known, outcome, chance)


async def _document(sender: Sender) -> Mapping[str, Any]:
    answer = await sender.send(Attempt("document", "GET", b"/openapi.json"))
    document: Mapping[str, Any] = json.loads(answer.body)
    return document


async def _round(
    count: int,
    made: list[Operation],
    sender: Sender,
    judge: Judge,
    known: Known,
    outcome: Outcome,
    chance: random.Random,
) -> None:
    waiting = iter(_attempts(count, made, known, chance))

    async def work() -> None:
        for attempt in waiting:
            answer = await sender.send(attempt)
            known.learn(answer)
            outcome.requests += 1
            outcome.twisted += " | " in attempt.origin
            outcome.statuses[answer.status] += 1
            name = attempt.origin.partition(" | ")[0]
            outcome.operations[name] += 1
            if 200 <= answer.status < 300:
                outcome.succeeded.add(name)
            outcome.slowest_s = max(outcome.slowest_s, answer.seconds)
            outcome.faults += judge.faults(attempt, answer)
            if outcome.requests % _TOLD == 0:
                outcome.tell(outcome)

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def _attempts(
    count: int, made: list[Operation], known: Known, chance: random.Random
) -> list[Attempt]:
    share = count / (1 + _TWISTS) / sum(one.weight for one in made)
    straight: list[Attempt] = []
    for operation in made:
        straight += operation.attempts(max(1, round(share * operation.weight)), chance, known)
    bent = [twisted(chance.choice(straight), chance) for _ in range(max(0, count - len(straight)))]
    everything = straight + bent
    chance.shuffle(everything)
    return everything[:count]


def _progress(outcome: Outcome) -> None:
    sys.stderr.write(f"{outcome.requests} requests, {len(outcome.faults)} faults\n")


def main() -> None:
    """Send them, print the figures; exit 1 where an answer was at fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="a running system, such as http://127.0.0.1:8000")
    parser.add_argument("--key", help="an API key for it")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    start = time.monotonic()
    outcome = Outcome(options.seed, tell=_progress)
    with tempfile.TemporaryDirectory(prefix="everloop-fuzz-") as folder:
        if options.url:
            run = fuzz_url(outcome, options.requests, options.url, options.key)
        else:
            run = fuzz_gateway(outcome, options.requests, Path(folder))
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run)
    shown: Counter[str] = Counter()
    for fault in outcome.faults:
        kind = f"{fault.kind} {fault.attempt.origin.partition(' | ')[0]}"
        shown[kind] += 1
        if shown[kind] <= 2 and sum(shown.values()) <= 40 * _SHOWN:
            print(fault)
    took = time.monotonic() - start
    print(json.dumps({**outcome.report(), "seconds": round(took)}, indent=2))
    sys.exit(bool(outcome.faults))


if __name__ == "__main__":
    main()
