"""From a running process to its row: events, the lease, and what somebody wishes of it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, Self

from cluster.errors import DatabaseError
from cluster.records import now
from training.errors import SupersededError
from training.progress import News, StepDone
from training.queue.ledger import LEASE_S, Attempt, Wish, job_event

__all__ = ["Reporter"]

_log = logging.getLogger(__name__)
_TURN_S: Final = 1.0
_RENEW_S: Final = LEASE_S / 4
_MOST_EVENTS: Final = 10_000
"""Events that may wait to be written; the oldest go first."""
_METRIC_EVENTS: Final = 1_000
"""About so many steps of a run become events; `metrics.jsonl` has all."""
_KEPT: Final = frozenset({"epoch", "learning_rate", "gradient_norm", "tokens", "workers"})


class Reporter:
    """Writes what is told about once a second, from a thread of its own.

    A database that is away for a while costs nothing but the lease. `look` gives records to add
    besides, and is asked at each turn.
    """

    def __init__(
        self,
        attempt: Attempt,
        look: Callable[[], list[Any]] = list,
        *,
        turn_s: float = _TURN_S,
        renew_s: float = _RENEW_S,
    ) -> None:
        self._attempt = attempt
        self._look = look
        self._turn_s = turn_s
        self._renew_s = renew_s
        self._told: deque[Any] = deque(maxlen=_MOST_EVENTS)
        self._unwritten: list[Any] = []
        self._changes: dict[str, Any] = {}
        self._changing = threading.Lock()
        self._renewed = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self.wish: Wish | None = None
        """What somebody wants of the run now."""
        self.superseded = False
        """Whether another process has taken the run over."""
        self.terminated = False
        """Whether this process was asked to end, whatever becomes of the run."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the rest, if the records answer."""
        self._ended.set()
        self._thread.join()
        if not self.superseded:
            self._turn()

    def stopping(self) -> bool:
        """Whether the run should stop at a checkpoint."""
        return self.wish is not None or self.superseded or self.terminated

    def terminate(self) -> None:
        """Have the run stop at a checkpoint because its process must end."""
        self.terminated = True

    def say(self, message: str, *, level: str = "info") -> None:
        """Tell a sentence."""
        if self._attempt.is_job:
            self._told.append(job_event(self._attempt.id, message, level=level))

    def change(self, name: str, value: Any) -> None:
        """Have a column of the row changed with the next words."""
        with self._changing:
            self._changes[name] = value

    def hear(self, news: News) -> None:
        """Tell a step or a validation."""
        if isinstance(news, StepDone):
            self._estimate(news)
            every = max(1, news.steps // _METRIC_EVENTS)
            if news.step % every and news.step != news.steps:
                return
            message = f"Step {news.step}/{news.steps}: training loss={news.loss:.4f}"
            data = {
                "step": news.step,
                "train_loss": news.loss,
                "train_mean_token_accuracy": news.accuracy,
                "total_steps": news.steps,
                "tokens_per_second": round(news.tokens / news.seconds, 1) if news.seconds else None,
                **{k: v for k, v in asdict(news).items() if k in _KEPT},
            }
        else:
            best = ", the best so far" if news.best else ""
            message = f"Step {news.step}: validation loss={news.loss:.4f}{best}"
            data = {
                "step": news.step,
                "valid_loss": news.loss,
                "valid_mean_token_accuracy": news.accuracy,
                "best": news.best,
            }
        self._told.append(job_event(self._attempt.id, message, kind="metrics", **data))

    def flush(self) -> None:
        """Write what was told by now. Raises SupersededError and DatabaseError."""
        self._unwritten += self._look()
        self._unwritten += [self._told.popleft() for _ in range(len(self._told))]
        del self._unwritten[:-_MOST_EVENTS]
        with self._changing:
            changes, self._changes = self._changes, {}
        if self._unwritten or changes:
            try:
                self._attempt.write({**changes, "lease_until": now() + LEASE_S}, *self._unwritten)
            except DatabaseError:
                with self._changing:
                    self._changes = {**changes, **self._changes}
                raise
            self._unwritten = []
            self._renewed = time.monotonic()
        elif time.monotonic() - self._renewed >= self._renew_s:
            self._attempt.renew()
            self._renewed = time.monotonic()

    def _estimate(self, step: StepDone) -> None:
        at = time.monotonic()
        if self._first is None:
            self._first = (at, step.step)
            return
        began, first = self._first
        if step.step > first:
            left = (at - began) / (step.step - first) * (step.steps - step.step)
            self.change("estimated_finish", now() + round(left))

    def _run(self) -> None:
        while not self.superseded and not self._ended.wait(self._turn_s):
            self._turn()

    def _turn(self) -> None:
        try:
            self.flush()
            self.wish = self._attempt.wish()
        except SupersededError as error:
            _log.warning("%s", error)
            self.superseded = True
        except DatabaseError as error:
            _log.warning("The records do not answer; the run goes on: %s", error)
