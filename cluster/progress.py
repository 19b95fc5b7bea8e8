"""The bar of a training run in the terminal, wherever the run is followed from."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

__all__ = ["run_columns"]

_ROOM_FOR_A_BAR: Final = 56


def run_columns(width: int) -> "list[ProgressColumn]":
    """Steps, `loss`, `rate` in tokens/s and time left; the bar itself where a line has room.

    The task has the fields `loss` and `rate`, as text.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    wide = width >= _ROOM_FOR_A_BAR
    numbers = "loss {task.fields[loss]}  {task.fields[rate]} tokens/s"
    return [
        *([BarColumn(bar_width=None)] if wide else []),
        MofNCompleteColumn(),
        TextColumn(numbers if wide else numbers.replace("  ", " ").replace("tokens", "tok")),
        TimeRemainingColumn(),
    ]
