"""An alias that moves under load: is any request lost, or answered by the wrong weights?

    python -m tests.benchmarks.hot_swap [--base-url URL] [--in-flight 200] [--promotions 10]

Two small fine-tuning jobs make two adapters that answer one prompt in different words; what each
version says, greedily, is learned first by its own id. Then requests are kept in flight to the
alias, every second one streamed and none tried again, while it moves:

1. a few in flight, each move awaited until the new version answers: how long a swap takes;
2. many in flight, one promotion after the other and then a rollback, `--apart` seconds from move to
   move, whatever has been answered by then: whether a swap costs a request. The answers behind so
   long a queue come when the alias has moved on, so nothing waits for them but the end;
3. nothing in flight: `everloop rollback`, and an answer by what it moved to.

An answer counts as right when its `model` is a version that the alias pointed at while it was
asked, and its text is that version's, to the letter. Bars: none lost, none wrong; a rollback under
5 s. At an Everloop that is up already, its model must let so many requests wait
(`models.max_queued_requests`).
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
ROWS: Final = 112
BATCH: Final = 8
ANSWER_TOKENS: Final = 16
FEW: Final = 4
FEW_PROMOTIONS: Final = 4
LEARNED_FROM: Final = 12
"""Answers of each version that must be equal before the load begins."""
ROLLBACK_BAR_S: Final = 5.0
FIRST_ANSWER_S: Final = 60.0
"""A version that has not answered a few clients by then is not going to."""
PHASE_S: Final = 240.0
"""The moves and every answer of a load are in by then, or the benchmark fails."""


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

    @property
    def took(self) -> float:
        """Seconds until the move was done."""
        return self.returned - self.asked


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
    def certain(self) -> int:
        """Whole answers that one version alone could rightly give."""
        return sum(not a.error and len(self._allowed(a)) == 1 for a in self.answers)

    @property
    def held(self) -> bool:
        """Whether it keeps to the bars."""
        wrong = self.lost or self.mixed or self.stale
        return not wrong and max(self.moving("rollback")) < ROLLBACK_BAR_S

    def moving(self, kind: str) -> list[float]:
        """Seconds until such moves were done."""
        return [swap.took for swap in self.swaps if swap.kind == kind]

    def answering(self, kind: str) -> list[float]:
        """Seconds from such a move to the first answer by the new version.

        Of requests sent after the move was asked for and before the next one.
        """
        nexts = [*(swap.asked for swap in self.swaps[1:]), float("inf")]
        found = []
        for swap, until in zip(self.swaps, nexts, strict=True):
            if swap.kind != kind:
                continue
            ended = [
                answer.ended
                for answer in self.answers
                if swap.asked < answer.began < until and answer.model == swap.target
            ]
            found += [min(ended) - swap.asked] if ended else []
        return found

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
        async with asyncio.timeout(FIRST_ANSWER_S):
            while True:
                for answer in self.answers:
                    if answer.began > since and answer.model == version and not answer.error:
                        return answer.ended
                self._heard.clear()
                await self._heard.wait()


def main() -> int:
    """Make the adapters, move the alias under load, and report; 1 where a bar is missed."""
    options = _options()
    waiting = [{"id": MODEL, "max_queued_requests": 2 * options.in_flight}]
    with running_application(options.base_url, {"EVERLOOP_MODELS": json.dumps(waiting)}) as system:
        client = system.client()
        versions = [_adapter(client, name, said) for name, said in SAID.items()]
        phases, command = asyncio.run(_phases(system, [*versions, MODEL], options))
    columns = ("figure", *(f"{count} in flight" for count in phases), "bar")
    title = f"An alias that moves under load; {options.promotions} promotions of the many"
    swaps = {count: [asdict(swap) for swap in phase.swaps] for count, phase in phases.items()}
    report("hot_swap", title, columns, _rows(phases), swaps=swaps, everloop_rollback_s=command)
    print(f"everloop rollback, nothing in flight: {command:.2f} s; bar: < {ROLLBACK_BAR_S:g}")
    held = all(phase.held for phase in phases.values()) and command < ROLLBACK_BAR_S
    return 0 if held else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", help="an Everloop that is up; default: one of its own")
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--promotions", type=int, default=10, help="with the many in flight")
    parser.add_argument("--apart", type=float, default=4.0, help="seconds from move to move then")
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
) -> tuple[dict[int, Phase], float]:
    """Each load's phase, by its requests in flight, and the seconds of `everloop rollback`."""
    async with AsyncOpenAI(
        base_url=system.base_url, api_key=system.key, max_retries=0, timeout=PHASE_S
    ) as client:
        texts = {version: await _learned(client, version) for version in versions}
        for version, text in texts.items():
            print(f"  {version}: {text!r}", flush=True)
        if len(set(texts.values())) < len(texts):
            raise RuntimeError("Two versions answer alike: this prompt cannot tell them apart.")
        few, many = Load(client), Load(client)
        promotions = min(FEW_PROMOTIONS, options.promotions)
        swaps = await _under(few, FEW, promotions, versions, awaited=True)
        phases = {FEW: Phase(swaps, few.answers, texts)}
        swaps = await _under(
            many, options.in_flight, options.promotions, versions, apart=options.apart
        )
        phases[options.in_flight] = Phase(swaps, many.answers, texts)
        return phases, await _command(system, client, texts)


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


async def _under(
    load: Load,
    in_flight: int,
    promotions: int,
    versions: Sequence[str],
    *,
    apart: float = 0.0,
    awaited: bool = False,
) -> list[Swap]:
    """Promote in turns and roll back at the end, with so many requests in flight.

    `awaited`: the new version has answered before the next move. Returns when all is answered;
    raises TimeoutError when that takes too long.
    """
    print(f"{in_flight} in flight", flush=True)
    swaps = []
    async with asyncio.timeout(PHASE_S), asyncio.TaskGroup() as tasks:
        for number in range(in_flight):
            tasks.create_task(load.send(streamed=number % 2 == 0))
        try:
            await asyncio.sleep(apart)
            for target in (*_turns(versions, promotions), None):
                swap = await _move(load.client, target)
                swaps.append(swap)
                told = f"  {swap.kind} to {swap.target}: moved in {swap.took:.2f} s"
                if awaited:
                    answered = await load.first_by(swap.target, swap.asked)
                    told += f", first answer after {answered - swap.asked:.2f} s"
                print(told, flush=True)
                await asyncio.sleep(apart)
        finally:
            load.stopping = True
    return swaps


def _turns(versions: Sequence[str], count: int) -> list[str]:
    return [versions[number % len(versions)] for number in range(count)]


async def _move(client: AsyncOpenAI, target: str | None) -> Swap:
    """Promote the alias to `target`, or roll it back where that is None."""
    asked = time.perf_counter()
    what, body = "rollback", {}
    if target is not None:
        what = "promote"
        body = {"target": target, "override": True, "reason": "a benchmark moves it"}
    moved: Any = await client.post(f"/aliases/{ALIAS}/{what}", body=body, cast_to=object)
    return Swap(what, str(moved["target"]), asked, time.perf_counter())


async def _command(system: System, client: AsyncOpenAI, texts: Mapping[str, str]) -> float:
    """Roll back as a person does; its seconds. Raises RuntimeError unless the answer follows."""
    arguments = ("rollback", "--alias", ALIAS, "--base-url", system.base_url, "--json")
    began = time.perf_counter()
    done = await asyncio.to_thread(system.everloop, *arguments)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"everloop rollback failed: {done.stdout}{done.stderr}")
    target = str(json.loads(done.stdout)["target"])
    answer = await ask(client, ALIAS, streamed=False)
    if (answer.model, answer.text) != (target, texts[target]):
        raise RuntimeError(f"{target} was rolled back to, and the answer is {answer}")
    return took


def _rows(phases: Mapping[int, Phase]) -> list[tuple[Any, ...]]:
    def row(name: str, figure: Callable[[Phase], Any], bar: str = "") -> tuple[Any, ...]:
        return (name, *map(figure, phases.values()), bar)

    def answered(pick: Callable[[list[float]], float]) -> Callable[[Phase], Any]:
        return lambda phase: pick(phase.answering("promote") or [float("nan")])

    return [
        row("answers", lambda phase: len(phase.answers)),
        row("lost", lambda phase: phase.lost, "0"),
        row("text of another version, or a mixture", lambda phase: phase.mixed, "0"),
        row("version that the alias did not point at", lambda phase: phase.stale, "0"),
        row("answers that only one version could give", lambda phase: phase.certain),
        row("promote, s, median", lambda phase: median(phase.moving("promote"))),
        row("promote to first answer, s, median", answered(median)),
        row("promote to first answer, s, longest", answered(max)),
        row("rollback, s", lambda phase: max(phase.moving("rollback")), "< 5"),
    ]


if __name__ == "__main__":
    sys.exit(main())
