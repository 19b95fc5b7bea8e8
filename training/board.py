"""Between a run's first worker and whoever started it: news one way, a wish to stop the other."""

from collections.abc import Callable
from typing import Any, Final

from training.errors import TrainingError
from training.progress import News

__all__ = ["Board", "BoardLink"]

_MOST: Final = 100_000
"""News kept for a reader who does not come; the oldest go first."""


class Board:
    """Plain; runs as a Ray actor. It ends with the process that made it, as its run does."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._stopping = False
        self._failure: TrainingError | None = None

    def post(self, news: News) -> bool:
        """Add news; answers whether the run should stop."""
        self._news.append(news)
        del self._news[:-_MOST]
        return self._stopping

    def stopping(self) -> bool:
        """Whether the run should stop."""
        return self._stopping

    def ask_to_stop(self) -> None:
        """From now on the run should stop."""
        self._stopping = True

    def fail(self, error: TrainingError) -> None:
        """The run cannot go on, and trying again would not help."""
        self._failure = self._failure or error

    def failure(self) -> TrainingError | None:
        """The first word of `fail`."""
        return self._failure

    def take(self) -> list[News]:
        """News since the last call, oldest first."""
        news, self._news = self._news, []
        return news


class BoardLink:
    """A worker's end of a remote Board. News and the wish to stop never make it wait."""

    def __init__(self, board: Any, clock: Callable[[], float], every_s: float = 0.5) -> None:
        self._board = board
        self._clock = clock
        self._every_s = every_s
        self._asked = clock()
        self._answers: list[Any] = []
        self._stopping = False

    def post(self, news: News) -> None:
        """Send news."""
        self._answers.append(self._board.post.remote(news))

    def fail(self, error: TrainingError) -> None:
        """Say that trying again would not help; returns when it was heard."""
        import ray

        ray.get(self._board.fail.remote(error))

    def failed(self) -> bool:
        """Whether another worker, or an earlier try, said so."""
        import ray

        return ray.get(self._board.failure.remote()) is not None

    def stopping(self) -> bool:
        """Whether an answer that has come by now said to stop."""
        import ray

        if not self._answers and self._clock() - self._asked >= self._every_s:
            self._asked = self._clock()
            self._answers.append(self._board.stopping.remote())
        if self._answers:
            come, self._answers = ray.wait(self._answers, num_returns=len(self._answers), timeout=0)
            self._stopping = self._stopping or any(ray.get(come))
        return self._stopping
