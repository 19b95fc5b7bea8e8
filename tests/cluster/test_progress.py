"""A training run's bar in narrow and wide terminals."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from cluster.progress import run_columns


@pytest.mark.parametrize(
    ("width", "numbers"),
    [(40, "300/1500 loss 0.4321 133 tok/s"), (60, "300/1500 loss 0.4321  133 tokens/s")],
)
def test_no_number_is_cut(width: int, numbers: str) -> None:
    shown = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    progress = Progress(*run_columns(width), console=shown)
    progress.add_task("", total=1500, completed=300, loss="0.4321", rate="133")
    shown.print(progress.get_renderable())
    line = shown.file.getvalue()  # type: ignore[attr-defined]
    assert numbers in line
    assert line.endswith("-:--:--\n")
    assert ("━" in line) == (width > 50)
