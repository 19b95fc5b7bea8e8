"""`everloop data`: files of examples, before anything is trained on them."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["data"]

data = typer.Typer(
    help="Look at a file of training examples, curate it, or make one of traces.",
    no_args_is_help=True,
)

_COMMANDS = "training.data.commands"

File = Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines, CSV or Parquet.")]
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


@data.command()
@guarded
def traces(
    out: Annotated[Path, typer.Option("--out", help="JSON Lines file to write.")],
    route: Annotated[str | None, typer.Option(help="Only this route's.")] = None,
    model: Annotated[str | None, typer.Option(help="Only answers of this version.")] = None,
    min_score: Annotated[
        list[str] | None,
        typer.Option("--min-score", help="NAME=NUMBER, such as groundedness=0.9; several."),
    ] = None,
    refusals: Annotated[bool, typer.Option("--refusals", help="Take refusals too.")] = False,
    most: Annotated[int, typer.Option("--most", min=1, help="Rows at most.")] = 10_000,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Write good answers of the running service as rows to train on, newest first."""
    code: int = import_module(_COMMANDS).collect_traces(
        out,
        base_url=base_url,
        route=route,
        model=model,
        least_scores=min_score or (),
        refusals=refusals,
        most=most,
        as_json=as_json,
    )
    return code
