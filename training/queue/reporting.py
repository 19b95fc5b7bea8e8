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


class Reporter:
    """Writes what is told about once a second, from a thread of its own.

    A database that is away for a while costs nothing but the lease. `wish` is what somebody wants
    of the run; `superseded` says that another process has taken it over.
    """

    def __init__(self, attempt: Attempt, look: Callable[[], list[Any]] = list) -> None:
        self._attempt = attempt
        self._look = look
        self._told: deque[Any] = deque(maxlen=_MOST_EVENTS)
        self._changes: dict[str, Any] = {}
        self._renewed = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self.wish: Wish | None = None
        self.superseded = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def stopping(self) -> bool:
        """Whether the run should stop at a checkpoint."""
        return self.wish is not None or self.superseded

    def say(self, message: str, *, level: str = "info") -> None:
        """Tell a sentence."""
        if self._attempt.is_job:
            self._told.append(job_event(self._attempt.id, message, level=level))

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
        told = [self._told.popleft() for _ in range(len(self._told))]
        told += self._look()
        changes, self._changes = self._changes, {}
        if told or changes:
            changes["lease_until"] = now() + LEASE_S
            try:
                self._attempt.write(changes, *told)
            except DatabaseError:
                self._told.extendleft(reversed(told))
                raise
            self._renewed = time.monotonic()
        elif time.monotonic() - self._renewed >= _RENEW_S:
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
            self._changes["estimated_finish"] = now() + round(left)

    def _run(self) -> None:
        while not self._ended.wait(_TURN_S):
            try:
                self.flush()
                self.wish = self._attempt.wish()
            except SupersededError as error:
                _log.warning("%s", error)
                self.superseded = True
                return
            except DatabaseError as error:
                _log.warning("The records do not answer; the run goes on: %s", error)


_KEPT: Final = frozenset({"epoch", "learning_rate", "gradient_norm", "tokens", "workers"})
