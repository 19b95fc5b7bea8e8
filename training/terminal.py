"""A run in the terminal: a progress bar with loss, tokens/s and time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID

from cluster.progress import run_columns
from training.progress import News, StepDone

__all__ = ["Terminal"]


class Terminal:
    """Writes to stderr: stdout is the report's. Not on a terminal, it says a line a tenth."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bar: tuple[Progress, TaskID] | None = None
        self._said = 0

    def say(self, line: str) -> None:
        """A sentence above the bar."""
        self._console.print(line, soft_wrap=True)

    @contextmanager
    def progress(self, steps: int) -> Iterator[None]:
        """Show a bar of `steps` steps meanwhile."""
        if not self._console.is_terminal:
            yield
            return
        progress = Progress(*run_columns(self._console.width), console=self._console)
        with progress:
            self._bar = (progress, progress.add_task("", total=steps, loss="-", rate="-"))
            yield
        self._bar = None

    def show(self, news: News) -> None:
        """Move the bar, or say it in a line."""
        if not isinstance(news, StepDone):
            best = ", the best so far" if news.best else ""
            self.say(f"step {news.step}: validation loss {news.loss:.4f}{best}")
            return
        rate = news.tokens / news.seconds
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=news.step, loss=f"{news.loss:.4f}", rate=f"{rate:.0f}")
        elif news.step == news.steps or 10 * news.step // news.steps != self._said:
            self._said = 10 * news.step // news.steps
            self.say(f"step {news.step} of {news.steps}: loss {news.loss:.4f}, {rate:.0f} tokens/s")
