"""`everloop moderate`."""

import sys
from pathlib import Path
from typing import Any, Final, Literal

from rich.console import Console
from rich.text import Text

from cluster.client import connected
from cluster.errors import SettingsError
from cluster.tables import plain_table, show_table
from cluster.terminal import print_json

__all__ = ["Place", "read_text", "run_moderate"]

Place = Literal["input", "passages", "output"]
_STDIN: Final = "-"


def run_moderate(text: str, place: Place, base_url: str | None, *, as_json: bool) -> None:
    """Print what the guards find in `text`, the surest first, and what none of them judged."""
    with connected(base_url) as client:
        found: Any = client.moderations.create(input=text, extra_body={"place": place}).to_dict()
    if as_json:
        print_json(found)
        return
    (result,) = found["results"]
    applied, scores = result["category_applied_input_types"], result["category_scores"]
    flagged = [name for name, is_so in result["categories"].items() if is_so]
    judged = sorted((n for n in scores if applied[n]), key=lambda name: (-scores[name], name))
    console = Console()
    said = f"Flagged: {', '.join(flagged)}." if flagged else "Nothing was flagged."
    console.print(Text(said, style="bold red" if flagged else "bold"), highlight=False)
    table = plain_table("category", "score", "flagged")
    for name in judged:
        is_so = name in flagged
        style = "red" if is_so else ""
        table.add_row(Text(name, style), f"{scores[name]:.3f}", Text("yes" if is_so else "", style))
    show_table(console, table)
    if unjudged := [name for name in scores if not applied[name]]:
        console.print(Text(f"Not judged: {', '.join(unjudged)}.", style="dim"), highlight=False)


def read_text(text: str | None, file: Path | None) -> str:
    """The text of the command line, of standard input for `-`, or of a file.

    Raises SettingsError unless it is one of them, and UTF-8 with something in it.
    """
    if (text is None) == (file is None):
        raise SettingsError(
            "Nothing says which text is meant." if text is None else "Two texts are named.",
            fix="Give a text, or - to read standard input, or --file FILE.",
        )
    try:
        if file is not None:
            text = file.read_text(encoding="utf-8")
        elif text == _STDIN:
            text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file or 'Standard input'} is not UTF-8 text: {error.reason} at byte {error.start}.",
            fix="Give a text. Documents are read by `everloop ingest`.",
        ) from error
    if not text or not text.strip():
        raise SettingsError("The text is empty.", fix="Give a text with something in it.")
    return text
