"""`everloop up` and `everloop down`."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from cluster.cli.exits import PARTIAL
from cluster.errors import LaunchError
from cluster.launch.first_key import FirstKey
from cluster.launch.foreground import await_end, interrupted_by_sigterm
from cluster.launch.ray_head import disconnect
from cluster.launch.up import down, up
from cluster.settings import Settings, load_settings

__all__ = ["ConsoleSteps", "run_down", "run_up"]

SAMPLES: Final = Path(__file__).parents[2] / "ingestion" / "samples"
SAMPLE_STORE: Final = "sample"
SAMPLE_QUESTION: Final = "On which port does the HTTP interface listen?"


class ConsoleSteps:
    """Shows each step as a line that says what it is doing, and how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def run(self, title: str, action: Callable[[Callable[[str], None]], str]) -> None:
        """Carry out one step."""
        began = time.monotonic()
        last = ""
        with self._console.status(title) as spinner:

            def report(text: str) -> None:
                nonlocal last
                if text == last:
                    return
                last = text
                spinner.update(Text(f"{title}: {text}"))
                if not self._console.is_terminal:
                    self._console.print(Text(f"  … {title}: {text}"))

            found = action(report)
        seconds = time.monotonic() - began
        self._console.print(Text.assemble(("✓ ", "green"), f"{title}: {found} ({seconds:.1f} s)"))


def run_up(*, sample: bool, wait: bool) -> int:
    """Bring everything up; with `sample`, ingest the sample corpus and ask it a question.

    With `wait`, stay until SIGTERM or Ctrl-C and then stop everything. Raises LaunchError where
    Ray ends before that, or a part of it hangs.
    """
    settings = load_settings()
    console = Console()
    if not wait:
        return _bring_up(settings, console, sample=sample)
    with interrupted_by_sigterm():
        try:
            _bring_up(settings, console, sample=sample)
            disconnect()
            console.print("Running until Ctrl-C or SIGTERM.")
            ended = await_end(settings)
        except KeyboardInterrupt:
            return 0
        finally:
            disconnect()
            run_down()
    raise LaunchError(ended, fix="Its logs say why; start Everloop again.")


def _bring_up(settings: Settings, console: Console, *, sample: bool) -> int:
    key = up(settings, ConsoleSteps(console))
    code = _show_sample(settings, console) if sample else 0
    _say_what_runs(settings, console, key, sample=sample)
    return code


def run_down() -> int:
    """Stop everything that `up` started."""
    settings = load_settings()
    console = Console()
    with console.status("Stopping"):
        stopped = down(settings)
    if settings.ray.address is not None:
        console.print(f"The application was removed from {settings.ray.address}.")
    elif stopped:
        console.print(f"Stopped {stopped} processes. Data stays in {settings.data_dir}.")
    else:
        console.print("Nothing was running.")
    return 0


def _show_sample(settings: Settings, console: Console) -> int:
    from cluster.cli.ask import ask_question, print_sources
    from cluster.cli.ingest import ingest_documents

    began = time.monotonic()
    _, outcomes, _ = ingest_documents(
        [str(SAMPLES)], SAMPLE_STORE, settings.base_url, settings, console
    )
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    new = sum(outcome.status == "completed" for outcome in outcomes)
    console.print(
        Text.assemble(
            ("✓ ", "green"),
            f"Sample corpus: {len(outcomes)} documents, {new} new "
            f"({time.monotonic() - began:.1f} s)",
        )
    )
    for outcome in failed:
        console.print(Text(f"  {outcome.source} failed: {outcome.reason}", style="red"))
    console.print(Text(f"\n? {SAMPLE_QUESTION}", style="bold"))
    answer = ask_question(SAMPLE_QUESTION, SAMPLE_STORE, None, settings.base_url, console)
    print_sources(console, answer)
    return PARTIAL if failed else 0


def _say_what_runs(settings: Settings, console: Console, key: FirstKey, *, sample: bool) -> None:
    root = settings.base_url.removesuffix("/v1")
    store = SAMPLE_STORE if sample else "NAME"
    console.print("\n[bold]Running[/]")
    console.print(Text(f"  OpenAI API  {settings.base_url}   (reference: {root}/docs)"))
    if key.made is not None:
        console.print(Text(f"  API key     {key.made}   (shown once)"), soft_wrap=True)
    if key.path is not None:
        console.print(Text(f"  Its file    {key.path}"), soft_wrap=True)
    if settings.ray.address is None:
        console.print(Text(f"  Dashboard   http://127.0.0.1:{settings.ray.dashboard_port}"))
    console.print(Text(f"  Data        {settings.data_dir}"))
    console.print("[bold]Next[/]")
    if key.path is not None:
        told = "   (then `OpenAI()` needs no arguments)"
        console.print(Text(f"  . {shlex.quote(str(key.path))}{told}"), soft_wrap=True)
    console.print(Text(f"  everloop ingest FOLDER --store {store}"))
    console.print(Text(f'  everloop ask "A question" --store {store}'))
    console.print(Text("  everloop status | everloop doctor | everloop down"))
