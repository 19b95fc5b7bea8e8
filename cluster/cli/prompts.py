"""`everloop prompts`: versions of prompts, and the labels that move over them."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["prompts"]

_COMMANDS: Final = "deployments.prompts.commands"

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of a prompt.")]
Reference = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]",
        help="A version is a number, a label, a digest or latest; by default production.",
    ),
]
Label = Annotated[str, typer.Argument(metavar="LABEL", help="Such as production.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Kept in the label's history.")]
Message = Annotated[str | None, typer.Option("--message", "-m", help="Why it is made.")]
At = Annotated[str | None, typer.Option("--label", help="A label that is to stand at it.")]

prompts = typer.Typer(
    help="Keep prompts with their versions, and move the labels that clients call.",
    no_args_is_help=True,
)


def _commands() -> Any:
    return import_module(_COMMANDS)


@prompts.command("list")
@guarded
def list_prompts(base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """List the prompts and where their labels stand."""
    _commands().listed(base_url, as_json=as_json)
    return None


@prompts.command()
@guarded
def show(prompt: Reference, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Show a version: what it says, and the prompt's labels and other versions."""
    _commands().show(prompt, base_url, as_json=as_json)
    return None


@prompts.command()
@guarded
def push(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Our YAML; see docs/api.md.")],
    label: At = None,
    message: Message = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Make a version of a file where it says something new, and the prompt where there is none."""
    _commands().push(
        file,
        name=None,
        form="everloop",
        label=label,
        message=message,
        base_url=base_url,
        as_json=as_json,
    )
    return None


@prompts.command("import")
@guarded
def import_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="LangChain's JSON or YAML, ours, .txt, .md or .j2."),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="By default the file's own, without suffix.")
    ] = None,
    form: Annotated[
        Literal["auto", "everloop", "langchain", "jinja", "text"],
        typer.Option("--format", help="text stays as it is; jinja has variables."),
    ] = "auto",
    label: At = None,
    message: Message = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Make a version of a prompt in another format. What cannot be taken over is told."""
    _commands().push(
        file,
        name=name,
        form=form,
        label=label,
        message=message,
        base_url=base_url,
        as_json=as_json,
    )
    return None


@prompts.command()
@guarded
def pull(
    prompt: Reference,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="By default the terminal.")
    ] = None,
    form: Annotated[
        Literal["everloop", "langchain", "jinja"], typer.Option("--format", help="To write.")
    ] = "everloop",
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Write a version to a file that `push` or LangChain reads."""
    _commands().pull(prompt, out=out, form=form, base_url=base_url, as_json=as_json)
    return None


@prompts.command()
@guarded
def diff(
    name: Name,
    old: Annotated[str, typer.Argument(metavar="FROM", help="Number, label or digest.")],
    new: Annotated[str, typer.Argument(metavar="TO", help="Number, label or digest.")] = "latest",
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show what one version says differently from another."""
    _commands().diff(name, old, new, base_url, as_json=as_json)
    return None


@prompts.command()
@guarded
def label(
    prompt: Annotated[
        str,
        typer.Argument(metavar="NAME[@VERSION]", help="Where it is to stand; by default latest."),
    ],
    label: Label,
    expected: Annotated[
        int | None,
        typer.Option(min=0, help="Fail unless it stands at this number now; 0: it must be new."),
    ] = None,
    reason: Reason = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Let a label stand at a version: everloop prompts label greeting@3 production."""
    _commands().label(
        prompt, label, expected=expected, reason=reason, base_url=base_url, as_json=as_json
    )
    return None


@prompts.command()
@guarded
def history(
    name: Name, label: Label = "production", base_url: BaseUrl = None, as_json: AsJson = False
) -> int | None:
    """List how a label moved, newest first."""
    _commands().history(name, label, base_url, as_json=as_json)
    return None


@prompts.command()
@guarded
def rollback(
    name: Name,
    label: Label = "production",
    steps: Annotated[int, typer.Option(min=1, help="Moves to take back.")] = 1,
    reason: Reason = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Let a label stand where it stood before."""
    _commands().rollback(
        name, label, steps=steps, reason=reason, base_url=base_url, as_json=as_json
    )
    return None


@prompts.command()
@guarded
def render(
    prompt: Reference,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="JSON, else a text as it is. Several."),
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show a version's messages with values in place of its variables. No model is asked."""
    _commands().render(prompt, values or (), base_url, as_json=as_json)
    return None


@prompts.command()
@guarded
def delete(name: Name, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Forget a prompt and its labels; traces still find its versions by their digests."""
    _commands().delete(name, base_url, as_json=as_json)
    return None
