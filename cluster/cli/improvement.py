"""The commands of the improvement path: train, follow, compare, promote, roll back."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from cluster.cli.exits import USAGE, guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["COMMANDS"]

_ALIAS: Final = "assistant"
Alias = Annotated[str, typer.Option("--alias", help="The name that clients call.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Kept in the alias's history.")]


@guarded
def train(
    data: Annotated[Path, typer.Argument(help="JSON Lines, CSV or Parquet to train on.")],
    validation: Annotated[Path | None, typer.Option(help="Rows for the validation loss.")] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Held-out rows that the gate compares on.")
    ] = None,
    alias: Annotated[
        str | None, typer.Option(help="What the gate may move; with --evaluation 'assistant'.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Base model; by default the first.")] = None,
    method: Annotated[Literal["supervised", "dpo"], typer.Option(help="How to learn.")] = (
        "supervised"
    ),
    epochs: Annotated[int | None, typer.Option(min=1, help="Times each row is seen.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Part of the adapter's name.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the order of rows.")] = None,
    columns: Annotated[
        str | None, typer.Option(help='Of a table: JSON, such as \'{"prompt": "question"}\'.')
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML with `training`, `gate` and other fields of the job.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Show progress until it ends.")
    ] = True,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Fine-tune on the cluster; with --evaluation the gate decides whether the result answers."""
    from cluster.cli.train import TrainRequest, run_train

    if evaluation is not None and alias is None:
        alias = _ALIAS
    request = TrainRequest(
        data,
        validation=validation,
        evaluation=evaluation,
        model=model,
        method=method,
        epochs=epochs,
        suffix=suffix,
        alias=alias,
        config=config,
        seed=seed,
        columns=columns,
    )
    return run_train(request, base_url, follow=follow, as_json=as_json)


@guarded
def jobs(
    job: Annotated[str | None, typer.Argument(help="Follow this one; else list all.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="End it at a checkpoint.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Stop it at a checkpoint.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from its checkpoint.")] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """List fine-tuning jobs; follow, cancel, pause or resume one."""
    from cluster.cli.train import run_watch
    from cluster.cli.versions import run_jobs, run_wish

    wishes = [name for name, on in (("cancel", cancel), ("pause", pause), ("resume", resume)) if on]
    if len(wishes) > 1 or (wishes and job is None):
        typer.echo("Give one job, and one of --cancel, --pause and --resume.", err=True)
        return USAGE
    if job is None:
        run_jobs(base_url, as_json=as_json)
        return None
    if wishes:
        run_wish(job, wishes[0], base_url, as_json=as_json)
        return None
    return run_watch(job, base_url, as_json=as_json)


@guarded
def adapters(base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """List the adapter versions."""
    from cluster.cli.versions import run_adapters

    run_adapters(base_url, as_json=as_json)
    return None


@guarded
def aliases(
    name: Annotated[str | None, typer.Argument(help="Show how this one moved.")] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """List what each alias answers by, or the history of one."""
    from cluster.cli.versions import run_aliases

    run_aliases(name, base_url, as_json=as_json)
    return None


@guarded
def promote(
    target: Annotated[str, typer.Argument(help="An adapter's id, or a served model's.")],
    alias: Alias = _ALIAS,
    gate: Annotated[str | None, typer.Option(help="The gate run that says to promote it.")] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Without a gate's word; needs --reason.")
    ] = False,
    reason: Reason = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Load a version on every replica, then let an alias answer by it. No request is lost."""
    from cluster.cli.versions import run_promote

    if (gate is None) is not override or (override and reason is None):
        typer.echo(
            "Give --gate with a gate run that says to promote it, or --override with a --reason, "
            "which the alias's history keeps.",
            err=True,
        )
        return USAGE
    run_promote(target, alias, gate, reason, base_url, override=override, as_json=as_json)
    return None


@guarded
def rollback(
    alias: Alias = _ALIAS,
    steps: Annotated[int, typer.Option(min=1, help="Moves to take back.")] = 1,
    reason: Reason = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Let an alias answer by what it answered by before."""
    from cluster.cli.versions import run_rollback

    run_rollback(alias, steps, reason, base_url, as_json=as_json)
    return None


@guarded
def gate(
    run: Annotated[str, typer.Argument(help="Id of a gate run.")],
    page: Annotated[Path | None, typer.Option(help="Save its readable page here.")] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show what the gate found, and why it decided as it did."""
    from cluster.cli.versions import run_gate_page

    run_gate_page(run, page, base_url, as_json=as_json)
    return None


COMMANDS: Final = (train, jobs, adapters, aliases, promote, rollback, gate)
