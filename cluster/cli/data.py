"""`everloop data`: files of examples, before anything is trained on them."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.exits import guarded

__all__ = ["data"]

data = typer.Typer(
    help="Look at a file of training examples, or curate it. Nothing needs to run.",
    no_args_is_help=True,
)

_COMMANDS = "training.data.commands"

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines, CSV or Parquet.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
ColumnsOption = Annotated[
    str | None,
    typer.Option("--columns", help="Of a table: prompt=question,completion=answer, or JSON."),
]
Model = Annotated[
    str, typer.Option("--model", help="Whose tokens count: packaged:NAME, a folder, or a hub id.")
]
_MODEL = "packaged:smollm2-135m-instruct"


@data.command()
@guarded
def inspect(
    file: File,
    columns: ColumnsOption = None,
    model: Model = _MODEL,
    chat_template: Annotated[
        Path | None, typer.Option(help="A Jinja file in place of the model's own template.")
    ] = None,
    example: Annotated[
        int, typer.Option(min=0, help="Number of the example whose label mask is shown; 0: none.")
    ] = 1,
    as_json: AsJson = False,
) -> int | None:
    """Show rows, problems, token lengths and the label mask. Exit code 1 when a row is wrong."""
    code: int = import_module(_COMMANDS).inspect_file(
        file,
        columns=columns,
        model=model,
        chat_template=chat_template,
        example=example,
        as_json=as_json,
    )
    return code


@data.command()
@guarded
def curate(
    file: File,
    out: Annotated[Path, typer.Option("--out", help="Folder for the rows and the receipt.")],
    columns: ColumnsOption = None,
    settings: Annotated[
        Path | None, typer.Option(help="YAML of the stages, as under data.curation of a job.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="What the gate will ask: such rows are removed.")
    ] = None,
    model: Model = _MODEL,
    as_json: AsJson = False,
) -> int | None:
    """Remove duplicates and what else the stages are set to, and write rows and a receipt."""
    code: int = import_module(_COMMANDS).curate_file(
        file,
        out,
        columns=columns,
        settings=settings,
        evaluation=evaluation,
        model=model,
        as_json=as_json,
    )
    return code
