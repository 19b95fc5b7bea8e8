"""`everloop feedback`: what people said of answers, its review, and rows to train on."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.cli.exits import USAGE, guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["feedback"]

feedback = typer.Typer(
    help="See what people say of answers, review it, and make training rows of it.",
    no_args_is_help=True,
)

_COMMANDS = "deployments.feedback.commands"
_EXPORTING = "deployments.feedback.exporting"

Name = Annotated[str | None, typer.Option("--name", help="Only feedback of this name.")]
Model = Annotated[
    str | None, typer.Option("--model", "--alias", help="Only on answers of this model or alias.")
]
Prompt = Annotated[str | None, typer.Option("--prompt", help="Only by this prompt version.")]
Experiment = Annotated[
    str | None, typer.Option("--experiment", help="Only on answers of this experiment.")
]
Source = Annotated[
    Literal["api", "end_user"] | None,
    typer.Option("--source", help="Only by the API's users, or by end users with a token."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="DATE", help="Only from then on (ISO 8601, UTC).")
]
Until = Annotated[str | None, typer.Option("--until", metavar="DATE", help="Only until then.")]


@feedback.command("list")
@guarded
def list_feedback(
    trace: Annotated[str | None, typer.Option("--trace", help="Only on this trace.")] = None,
    name: Name = None,
    thumbs: Annotated[
        Literal["up", "down"] | None, typer.Option("--thumbs", help="Only with this thumb.")
    ] = None,
    review: Annotated[
        Literal["pending", "accepted", "rejected"] | None,
        typer.Option("--review", help="Only in this state."),
    ] = None,
    corrected: Annotated[
        bool | None,
        typer.Option("--corrected/--not-corrected", help="Only with, or without, a correction."),
    ] = None,
    source: Source = None,
    model: Model = None,
    prompt: Prompt = None,
    experiment: Experiment = None,
    since: Since = None,
    until: Until = None,
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many.")] = 50,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """List feedback, newest first."""
    commands = import_module(_COMMANDS)
    narrowing = commands.Narrowing(
        trace=trace,
        name=name,
        thumbs=thumbs,
        review=review,
        source=source,
        corrected=corrected,
        model=model,
        prompt=prompt,
        experiment=experiment,
        since=since,
        until=until,
    )
    commands.listed(narrowing, most, base_url=base_url, as_json=as_json)
    return None


@feedback.command()
@guarded
def show(
    feedback_id: Annotated[str, typer.Argument(metavar="ID", help="Of the feedback.")],
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show one piece of feedback with the question and the answer."""
    import_module(_COMMANDS).show(feedback_id, base_url=base_url, as_json=as_json)
    return None


@feedback.command()
@guarded
def review(
    accept: Annotated[
        list[str] | None, typer.Option("--accept", metavar="ID", help="Accept it; several.")
    ] = None,
    reject: Annotated[
        list[str] | None, typer.Option("--reject", metavar="ID", help="Reject it; several.")
    ] = None,
    thumbs_up: Annotated[
        bool, typer.Option("--all-thumbs-up", help="Accept what waits with a thumb up.")
    ] = False,
    thumbs_down: Annotated[
        bool, typer.Option("--all-thumbs-down", help="Accept what waits with a thumb down.")
    ] = False,
    corrections: Annotated[
        bool, typer.Option("--all-corrections", help="Accept what waits with a correction.")
    ] = False,
    reviewer: Annotated[
        str | None, typer.Option("--reviewer", help="Who decides; by default the user's name.")
    ] = None,
    name: Name = None,
    source: Source = None,
    model: Model = None,
    prompt: Prompt = None,
    experiment: Experiment = None,
    since: Since = None,
    until: Until = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Accept feedback for training or reject it: one by one, by id, or all of a kind."""
    ways = [bool(accept or reject), thumbs_up, thumbs_down, corrections]
    if sum(ways) > 1:
        typer.echo(
            "Give ids with --accept and --reject, or one of --all-thumbs-up, --all-thumbs-down "
            "and --all-corrections.",
            err=True,
        )
        return USAGE
    commands = import_module(_COMMANDS)
    narrowing = commands.Narrowing(
        name=name,
        thumbs="up" if thumbs_up else "down" if thumbs_down else None,
        source=source,
        corrected=True if corrections else None,
        model=model,
        prompt=prompt,
        experiment=experiment,
        since=since,
        until=until,
    )
    commands.review(
        narrowing,
        accept=accept or [],
        reject=reject or [],
        everything=any(ways[1:]),
        reviewer=reviewer,
        base_url=base_url,
        as_json=as_json,
    )
    return None


@feedback.command()
@guarded
def export(
    out: Annotated[Path, typer.Option("--out", help="JSON Lines file to write.")],
    form: Annotated[
        Literal["sft", "dpo"],
        typer.Option("--form", help="Conversations, or pairs to prefer between."),
    ] = "sft",
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", min=0, max=1, help="A score from there on is a thumb up."),
    ] = None,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="Take what waits for a review too.")
    ] = False,
    with_passages: Annotated[
        bool,
        typer.Option("--with-passages", help="Ask as the model was asked, passages and all."),
    ] = False,
    name: Name = None,
    source: Source = None,
    model: Model = None,
    prompt: Prompt = None,
    experiment: Experiment = None,
    since: Since = None,
    until: Until = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="Upload it for fine-tuning and print its id.")
    ] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Write reviewed feedback as rows to train on, with a receipt. Exit code 1 without a row."""
    narrowing = import_module(_COMMANDS).Narrowing(
        name=name,
        source=source,
        model=model,
        prompt=prompt,
        experiment=experiment,
        since=since,
        until=until,
    )
    rule = import_module("training.data.feedback").FeedbackRule(
        form=form, least_score=min_score, unreviewed=unreviewed, with_passages=with_passages
    )
    code: int = import_module(_EXPORTING).export(
        out, narrowing, rule, upload=upload, base_url=base_url, as_json=as_json
    )
    return code
