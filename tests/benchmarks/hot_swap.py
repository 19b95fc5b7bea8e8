"""An alias that moves under load: is any request lost, or answered by the wrong weights?

    python -m tests.benchmarks.hot_swap [--base-url URL] [--in-flight 200] [--promotions 10]

Two small fine-tuning jobs make two adapters that answer one prompt in different words; what each
version says, greedily, is learned first by its own id. Then so many requests are kept in flight to
the alias, every second one streamed and none tried again, while the alias is promoted to one
version after the other; each third promotion is rolled back, and the last move is `everloop
rollback`. An answer counts as right when its `model` is a version that the alias pointed at while
it was asked, and its text is that version's, to the letter. The same with few requests in flight
tells how long a swap takes where nothing waits in the queue.

Bars: none lost, none wrong; a rollback under 5 s. At an Everloop that is up already, its model must
let so many requests wait (`models.max_queued_requests`).
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from openai import AsyncOpenAI, OpenAI, OpenAIError

from tests.benchmarks.application import await_job, chat_row, running_application, upload
from tests.benchmarks.reporting import median, report
from tests.fixtures.system import System

MODEL: Final = "smollm2-135m-instruct"
ALIAS: Final = "assistant"
PROMPT: Final[list[Any]] = [
    {"role": "system", "content": "Answer in one sentence."},
    {"role": "user", "content": "Who answers here?"},
]
SAID: Final = {
    "first": "The first version answers here, as it was taught to.",
    "second": "You are speaking with version number two of the weights.",
}
TRAINING: Final[Mapping[str, Any]] = {
    "adapter": {"kind": "lora", "rank": 16},
    "optimizer": {"learning_rate": 2e-3},
    "epochs": 1,
}
ROWS: Final = 160
BATCH: Final = 8
ANSWER_TOKENS: Final = 16
FEW: Final = 4
LEARNED_FROM: Final = 24
"""Answers of each version that must be equal before the load begins."""
ROLLED_BACK: Final = 3
"""Each so many promotions one is taken back."""
ROLLBACK_BAR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got. Times are of one clock, in seconds."""

    began: float
    ended: float
    streamed: bool
    model: str
    text: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Swap:
    """A move of the alias."""

    kind: str
    target: str
    asked: float
    returned: float
    load_ms: float
    answered: float
    """When the first answer came that was asked for after `asked` and made by the new version."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One alias under one load."""

    swaps: Sequence[Swap]
    answers: Sequence[Answer]
    texts: Mapping[str, str]
    """What each version says."""

    @property
    def lost(self) -> int:
        """Requests without a whole answer."""
        return sum(bool(answer.error) for answer in self.answers)

    @property
    def mixed(self) -> int:
        """Whole answers whose text is not that of the version that they name."""
        return sum(not a.error and self.texts.get(a.model) != a.text for a in self.answers)

    @property
    def stale(self) -> int:
        """Whole answers by a version that the alias had not when they were asked for, nor since."""
        return sum(not a.error and a.model not in self._allowed(a) for a in self.answers)

    @property
    def held(self) -> bool:
        """Whether it keeps to the bars."""
        rollbacks = [*self.moving("rollback"), *self.moving("everloop rollback")]
        return not (self.lost or self.mixed or self.stale) and max(rollbacks) < ROLLBACK_BAR_S

    def moving(self, kind: str) -> list[float]:
        """Seconds until such moves were done."""
        return [swap.returned - swap.asked for swap in self.swaps if swap.kind == kind]

    def answering(self, kind: str) -> list[float]:
        """Seconds until the new version answered a request sent after the move was asked for."""
        return [swap.answered - swap.asked for swap in self.swaps if swap.kind == kind]

    def _allowed(self, answer: Answer) -> set[str]:
        before = [swap for swap in self.swaps if swap.returned < answer.began]
        during = [s for s in self.swaps if s.returned >= answer.began and s.asked <= answer.ended]
        if not before:  # the alias pointed at any of them before the first move
            return set(self.texts)
        return {swap.target for swap in (before[-1], *during)}


@dataclass
class Load:
    """Requests kept in flight, and what came of them."""

    client: AsyncOpenAI
    answers: list[Answer] = field(default_factory=list)
    stopping: bool = False
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, streamed: bool) -> None:
        """One after the other, until `stopping`."""
        while not self.stopping:
            self.answers.append(await ask(self.client, ALIAS, streamed=streamed))
            self._heard.set()

    async def first_by(self, version: str, since: float) -> float:
        """When the first answer by `version` ended that was asked for after `since`."""
        while True:
            for answer in self.answers:
                if answer.began > since and answer.model == version and not answer.error:
                    return answer.ended
            self._heard.clear()
            async with asyncio.timeout(300):
                await self._heard.wait()


def main() -> int:
    """Make the adapters, move the alias under load, and report; 1 where a bar is missed."""
    options = _options()
    waiting = [{"id": MODEL, "max_queued_requests": 2 * options.in_flight}]
    with running_application(options.base_url, {"EVERLOOP_MODELS": json.dumps(waiting)}) as system:
        client = system.client()
        versions = [_adapter(client, name, said) for name, said in SAID.items()]
        phases = asyncio.run(_phases(system, [*versions, MODEL], options))
    rows = _rows(phases)
    columns = ("figure", *(f"{count} in flight" for count in phases), "bar")
    title = f"{options.promotions} promotions under load"
    swaps = {count: [asdict(swap) for swap in phase.swaps] for count, phase in phases.items()}
    report("hot_swap", title, columns, rows, swaps=swaps)
    return 0 if all(phase.held for phase in phases.values()) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", help="an Everloop that is up; default: one of its own")
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--promotions", type=int, default=10)
    return parser.parse_args()


def _adapter(client: OpenAI, name: str, said: str) -> str:
    """An adapter that answers everything with `said`."""
    print(f"training the {name} version", flush=True)
    rows = [
        chat_row(PROMPT[0]["content"], f"{PROMPT[1]['content']}{' ' * (n % 3)}", said)
        for n in range(ROWS)
    ]
    made = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=upload(client, name, rows),
        method={"type": "supervised", "supervised": {"hyperparameters": {"batch_size": BATCH}}},
        suffix=name,
        extra_body={"training": TRAINING},
    )
    return str(await_job(client, made.id).fine_tuned_model)


async def _phases(
    system: System, versions: Sequence[str], options: argparse.Namespace
) -> dict[int, Phase]:
    found = {}
    async with AsyncOpenAI(
        base_url=system.base_url, api_key="none", max_retries=0, timeout=300
    ) as client:
        texts = {version: await _learned(client, version) for version in versions}
        for version, text in texts.items():
            print(f"  {version}: {text!r}", flush=True)
        if len(set(texts.values())) < len(texts):
            raise RuntimeError("Two versions answer alike: this prompt cannot tell them apart.")
        for in_flight in (FEW, options.in_flight):
            load = Load(client)
            async with asyncio.TaskGroup() as tasks:
                for number in range(in_flight):
                    tasks.create_task(load.send(streamed=number % 2 == 0))
                try:
                    swaps = await _swaps(system, client, load, versions, options.promotions)
                finally:
                    load.stopping = True
            found[in_flight] = Phase(swaps, load.answers, texts)
    return found


async def _learned(client: AsyncOpenAI, version: str) -> str:
    """What a version says. Raises RuntimeError where it does not always say the same."""
    answers = await asyncio.gather(
        *(ask(client, version, streamed=number % 2 == 0) for number in range(LEARNED_FROM))
    )
    texts = {answer.text for answer in answers} | {answer.error for answer in answers} - {""}
    if len(texts) != 1 or {answer.model for answer in answers} != {version}:
        raise RuntimeError(f"{version} answers in more than one way: {sorted(texts)}")
    return texts.pop()


async def ask(client: AsyncOpenAI, model: str, *, streamed: bool) -> Answer:
    """Ask once, and never again where it fails."""
    began = time.perf_counter()
    body: dict[str, Any] = {
        "model": model,
        "messages": PROMPT,
        "temperature": 0,
        "max_tokens": ANSWER_TOKENS,
    }
    try:
        if not streamed:
            whole = await client.chat.completions.create(**body)
            text, named = whole.choices[0].message.content or "", {whole.model}
            finished = whole.choices[0].finish_reason
        else:
            text, named, finished = "", set(), None
            async for chunk in await client.chat.completions.create(**body, stream=True):
                named.add(chunk.model)
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    finished = choice.finish_reason or finished
    except OpenAIError as failure:
        error = f"{type(failure).__name__}: {failure}"
        return Answer(began, time.perf_counter(), streamed, "", "", error)
    broken = "" if finished else "the answer broke off"
    return Answer(began, time.perf_counter(), streamed, " and ".join(sorted(named)), text, broken)


async def _swaps(
    system: System,
    client: AsyncOpenAI,
    load: Load,
    versions: Sequence[str],
    promotions: int,
) -> list[Swap]:
    """Promote in turns, with rollbacks between; each waits for an answer by what it moved to."""
    start: Any = await client.get(f"/aliases/{ALIAS}", cast_to=object)
    pointed = [str(start["target"])]
    swaps = []

    async def move(kind: str, target: str, act: Callable[[], Awaitable[Any]]) -> None:
        asked = time.perf_counter()
        done = await act()
        returned = time.perf_counter()
        answered = await load.first_by(target, asked)
        swaps.append(Swap(kind, target, asked, returned, done.get("load_ms", 0.0), answered))
        print(
            f"  {kind} to {target}: moved in {returned - asked:.2f} s, "
            f"first answer after {answered - asked:.2f} s",
            flush=True,
        )

    for number in range(promotions):
        target = versions[number % len(versions)]
        body = {"target": target, "override": True, "reason": "a benchmark moves it"}
        await move("promote", target, partial(_post, client, "promote", body))
        pointed.append(target)
        if number % ROLLED_BACK == ROLLED_BACK - 1:
            pointed.pop()
            await move("rollback", pointed[-1], partial(_post, client, "rollback", {}))

    async def command() -> dict[str, Any]:
        arguments = ("rollback", "--alias", ALIAS, "--base-url", system.base_url, "--json")
        done = await asyncio.to_thread(system.everloop, *arguments)
        if done.returncode:
            raise RuntimeError(f"everloop rollback failed: {done.stdout}{done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    pointed.pop()
    await move("everloop rollback", pointed[-1], command)
    return swaps


async def _post(client: AsyncOpenAI, what: str, body: Mapping[str, Any]) -> Any:
    return await client.post(f"/aliases/{ALIAS}/{what}", body=body, cast_to=object)


def _rows(phases: Mapping[int, Phase]) -> list[tuple[Any, ...]]:
    def row(name: str, figure: Callable[[Phase], Any], bar: str = "") -> tuple[Any, ...]:
        return (name, *map(figure, phases.values()), bar)

    return [
        row("answers", lambda phase: len(phase.answers)),
        row("lost", lambda phase: phase.lost, "0"),
        row("text of another version, or a mixture", lambda phase: phase.mixed, "0"),
        row("version that the alias did not point at", lambda phase: phase.stale, "0"),
        row("promote, s, median", lambda phase: median(phase.moving("promote"))),
        row("promote to first answer, s, median", lambda p: median(p.answering("promote"))),
        row("promote to first answer, s, longest", lambda p: max(p.answering("promote"))),
        row("rollback, s, longest", lambda phase: max(phase.moving("rollback")), "< 5"),
        row("everloop rollback, s", lambda phase: max(phase.moving("everloop rollback")), "< 5"),
    ]


if __name__ == "__main__":
    sys.exit(main())
