"""Both sides asked about every item, in turns, so that whatever else happens meets both."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from cluster.errors import ApiError, EverloopError, UnreachableError
from training.examples import ChatExample
from training.gate.items import Expected, HeldOut
from training.gate.metrics import Metric, Observation
from training.gate.served import Served, ServedAnswer
from training.gate.settings import GateSettings

__all__ = ["Pair", "Say", "Side", "answer_limit", "ask_both"]

Say = Callable[[str], None]
"""Called with a short sentence whenever something new is done; what it raises ends the gate."""

_HOPELESS: Final = frozenset({401, 403, 404})
"""No model of that name, or not for us: the other items would be refused too."""
_SPARE: Final = 10
_SHARES_TOLD: Final = 10
_LONGEST_ANSWER: Final = 512


@dataclass(frozen=True, slots=True)
class Side:
    """One side's answer to one item."""

    answer: ServedAnswer
    observation: Observation


@dataclass(frozen=True, slots=True)
class Pair:
    """An item with what both sides made of it; None and a sentence where one failed."""

    item: HeldOut
    candidate: Side | None
    champion: Side | None
    error: str = ""


class _Task(NamedTuple):
    place: int
    side: int
    """0 is the candidate's, 1 the champion's."""


def answer_limit(expected: Sequence[Expected], settings: GateSettings) -> int:
    """Longest answer in tokens; see `GateSettings.max_answer_tokens`."""
    if settings.max_answer_tokens is not None:
        return settings.max_answer_tokens
    longest = max(len(one.answer) for one in expected)
    return min(_LONGEST_ANSWER, 2 * longest + 16)


def ask_both(
    service: Served,
    models: tuple[str, str],
    items: Sequence[HeldOut],
    expected: Sequence[Expected],
    metric: Metric,
    settings: GateSettings,
    say: Say,
) -> list[Pair]:
    """Answers of candidate and champion (`models`) to all items, in their order.

    An item that one side cannot answer is told in its pair. Raises the service's error where it
    would meet every item, or where more items failed than can be borne.
    """
    ask = _Asker(service, metric, answer_limit(expected, settings), settings.seed)
    for model in models:  # loads what is not loaded yet, before anything is measured
        ask(model, items[0], expected[0])
    tasks = [
        _Task(place, side)
        for place in range(len(items))
        for side in ((0, 1) if place % 2 == 0 else (1, 0))
    ]
    bearable = settings.bounds.unanswered * len(items) + _SPARE
    sides: dict[_Task, Side] = {}
    errors: dict[int, str] = {}

    def work(task: _Task) -> Side:
        return ask(models[task.side], items[task.place], expected[task.place])

    with closing(_completed(tasks, work, settings.concurrency, say)) as completed:
        for task, future in completed:
            try:
                sides[task] = future.result()
            except EverloopError as error:
                if _is_hopeless(error) or len(errors) >= bearable:
                    raise
                errors[task.place] = error.message
    return [
        Pair(item, sides.get(_Task(place, 0)), sides.get(_Task(place, 1)), errors.get(place, ""))
        for place, item in enumerate(items)
    ]


def _completed(
    tasks: Sequence[_Task], work: Callable[[_Task], Side], concurrency: int, say: Say
) -> Generator[tuple[_Task, Future[Side]], None, None]:
    """Each task with its outcome, as they end. Closing it waits for those that run, no more."""
    running: dict[Future[Side], _Task] = {}
    waiting = iter(tasks)
    done = told = 0
    with ThreadPoolExecutor(concurrency, "everloop-gate") as threads:
        while True:
            for task in islice(waiting, concurrency - len(running)):
                running[threads.submit(work, task)] = task
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                done += 1
                yield running.pop(future), future
            if (share := _SHARES_TOLD * done // len(tasks)) > told:
                told = share
                say(f"{done} of {len(tasks)} answers")


class _Asker:
    def __init__(self, service: Served, metric: Metric, limit: int, seed: int) -> None:
        self._service = service
        self._metric = metric
        self._limit = limit
        self._seed = seed

    def __call__(self, model: str, item: HeldOut, expected: Expected) -> Side:
        limits = {"max_tokens": self._limit, "seed": self._seed}
        if isinstance(item.example, ChatExample):
            asked, tools = item.example.messages[:-1], item.example.tools
            answer = self._service.chat(model, asked, tools, **limits)
        else:
            answer = self._service.complete(model, expected.prompt, **limits)
        told: tuple[float, ...] = ()
        if self._metric.needs_log_probabilities:
            ids = (*expected.prompt, *expected.answer)
            told = self._service.log_probabilities(model, ids, len(expected.prompt))
        return Side(answer, Observation(answer.text, item.reference, told))


def _is_hopeless(error: EverloopError) -> bool:
    if isinstance(error, UnreachableError):
        return True
    return isinstance(error, ApiError) and error.status in _HOPELESS
