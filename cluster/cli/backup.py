"""`everloop backup` and `everloop restore`: all state, in one command each way."""

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson

__all__ = ["backup", "restore"]

_INDEX: Final = "ingestion.index"
From = Annotated[str, typer.Argument(metavar="FROM", help="Folder or URL that has backups.")]
Name = Annotated[
    str | None, typer.Option("--backup", metavar="ID", help="By default the newest one.")
]


class _MakeByDefault(TyperGroup):
    """`backup TO` is `backup make TO`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["make", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


backup = typer.Typer(
    cls=_MakeByDefault, help="Back everything up: everloop backup TO.", no_args_is_help=True
)


@backup.command()
@guarded
def make(
    to: Annotated[str, typer.Argument(metavar="TO", help="Folder or URL, such as s3://bucket/x.")],
    as_json: AsJson = False,
) -> int | None:
    """Write records, bytes and passages, while the system works; known bytes are not copied."""
    from cluster.backup.making import make_backup
    from cluster.settings import load_settings

    made = _followed(lambda report: make_backup(load_settings(), to, report), as_json=as_json)
    shown = made.model_dump()
    _say(
        shown,
        f"Backup {made.id}: {sum(part.count for part in made.tables.values())} records, "
        f"{made.contents.count} objects ({made.content_bytes} bytes), "
        f"{sum(part.count for part in made.passages.values())} passages.",
        made.missing,
        as_json=as_json,
    )
    return None


@backup.command()
@guarded
def verify(source: From, name: Name = None, as_json: AsJson = False) -> int | None:
    """Read a backup to its last byte, and say whether it is whole."""
    from cluster.backup.place import find_backup, open_place
    from cluster.backup.verifying import check_backup
    from cluster.settings import load_settings

    place = open_place(source, load_settings())
    manifest = find_backup(place, name)
    _followed(lambda report: check_backup(place, manifest, report), as_json=as_json)
    _say(
        manifest.model_dump(), f"Backup {manifest.id} is whole.", manifest.missing, as_json=as_json
    )
    return None


@guarded
def restore(
    source: From,
    name: Name = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove everything that is there first.")
    ] = False,
    as_json: AsJson = False,
) -> int | None:
    """Bring a backup back, checked first, where nothing runs: everloop restore FROM."""
    from cluster.backup.restoring import restore_backup
    from cluster.settings import load_settings

    settings = load_settings()

    def prepare(uri: str, collection: str, dimension: int) -> None:
        index = import_module(_INDEX).PassageIndex(
            uri, collection, dimension, token=settings.milvus.token
        )
        index.ensure()
        index.close()

    done = _followed(
        lambda report: restore_backup(
            settings, source, name=name, replace=replace, prepare=prepare, report=report
        ),
        as_json=as_json,
    )
    left_out = sum(map(len, done.left_out.values()))
    _say(
        done.as_json(),
        f"Restored {done.id}: {done.rows} records, {done.objects} objects, {done.passages} "
        f"passages; {left_out} things that were deleted since were left out.",
        done.missing,
        as_json=as_json,
    )
    return None


def _followed(work: Any, *, as_json: bool) -> Any:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=as_json)
    with console.status("Looking") as spinner:
        return work(lambda said: spinner.update(Text(said)))


def _say(value: dict[str, Any], line: str, missing: list[str], *, as_json: bool) -> None:
    from rich.console import Console

    from cluster.terminal import print_json

    if as_json:
        print_json(value)
        return
    console = Console()
    console.print(line, highlight=False)
    for one in missing:
        console.print(f"  was not there: {one}", highlight=False, markup=False)
