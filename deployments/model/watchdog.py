"""Notices an engine that hangs.

vLLM's own health check reads a flag that a dead engine sets. An engine process that is stopped,
dead-locked or spinning leaves it green. So the engine is asked something that it can only answer
between two steps; and when it has been idle for a while, for one token.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from deployments.model.serving import ChatEngine

__all__ = ["EngineHungError", "EngineView", "Question", "Watchdog", "next_question"]

_log = logging.getLogger(__name__)
PROBE_AFTER_S: Final = 30.0
"""An engine that nobody used for so long is asked for a token."""


class EngineHungError(RuntimeError):
    """The engine did not answer within the stall time-out."""


class Question(Enum):
    """What to ask the engine."""

    NOTHING = "nothing"
    STEP = "are you past a step"
    ONE_MORE = "one token, please"


@dataclass(frozen=True, slots=True)
class EngineView:
    """What the watchdog knows; times in seconds."""

    running: int
    idle_s: float
    """Since the last call ended, or the last token was given to a probe."""
    since_answer_s: float
    """Since the engine answered the last question."""


def next_question(view: EngineView, stall_timeout_s: float) -> Question:
    """A busy engine is asked four times per stall time-out; an idle one now and then."""
    if view.running:
        due = view.since_answer_s >= stall_timeout_s / 4
        return Question.STEP if due else Question.NOTHING
    if view.idle_s >= PROBE_AFTER_S and view.since_answer_s >= PROBE_AFTER_S:
        return Question.ONE_MORE
    return Question.NOTHING


class Watchdog:
    """Asks the engine questions, and kills it when it does not answer.

    Then, or when the engine has died, `end` is called: it should end the process. A replica that
    only called itself unhealthy would be sent calls, and fail each at once, until Serve has asked
    it three times.
    """

    def __init__(
        self,
        engine: ChatEngine,
        running: Callable[[], int],
        stall_timeout_s: float,
        period_s: float = 1.0,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._engine = engine
        self._running = running
        self._stall_timeout_s = stall_timeout_s
        self._period_s = period_s
        self._end = end
        self._last_use = self._last_answer = self._now()
        self._hung: EngineHungError | None = None
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def check(self) -> None:
        """Raise when the engine is dead or hangs. Never waits for the engine."""
        if self._hung is not None:
            raise self._hung
        if self._task.done():
            raise EngineHungError("The engine is not watched any more.")
        await self._engine.check()

    def close(self) -> None:
        """Stop watching."""
        self._task.cancel()

    async def _watch(self) -> None:
        while self._hung is None:
            await asyncio.sleep(self._period_s)
            if await self._has_died():
                break
            now = self._now()
            running = self._running()
            if running:
                self._last_use = now
            view = EngineView(running, now - self._last_use, now - self._last_answer)
            question = next_question(view, self._stall_timeout_s)
            if question is not Question.NOTHING:
                await self._ask(question)
        if self._end is not None:
            self._end()

    async def _has_died(self) -> bool:
        try:
            await self._engine.check()
        except Exception as error:  # noqa: BLE001 - the edge of the task: a dead engine says so here
            self._fail(error)
            return True
        return False

    def _fail(self, error: Exception) -> None:
        self._hung = EngineHungError(f"The engine failed: {error!r}")
        _log.error("%s It is replaced.", self._hung)

    async def _ask(self, question: Question) -> None:
        ask = self._engine.answer if question is Question.STEP else self._engine.probe
        try:
            async with asyncio.timeout(self._stall_timeout_s):
                await ask()
            self._last_answer = self._now()
        except TimeoutError:
            self._hung = EngineHungError(
                f"The engine did not answer for {self._stall_timeout_s:g} s "
                f"({question.value}, {self._running()} calls in flight)."
            )
            _log.error("%s It is killed and replaced.", self._hung)
            self._engine.kill()
        except Exception as error:  # noqa: BLE001 - the edge of the task: a dead engine says so here
            self._fail(error)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
