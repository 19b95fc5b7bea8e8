"""`everloop alerts`: what a person should look at, raised by drift and by experiments."""

from importlib import import_module
from typing import Annotated, Final, Literal

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["alerts"]

_COMMANDS: Final = "deployments.alerts.commands"

alerts = typer.Typer(
    help="What a person should look at: drift, arms that were stopped, users split wrongly.",
    no_args_is_help=True,
)
Alert = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, alert_….")]


@alerts.command("list")
@guarded
def list_alerts(
    status: Annotated[
        Literal["open", "acknowledged", "resolved"] | None, typer.Option(help="Only these.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only these, such as drift or experiment.arm_stopped.")
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """List the newest, and how many webhooks were told of each."""
    import_module(_COMMANDS).listed(status, kind, base_url=base_url, as_json=as_json)
    return None


@alerts.command()
@guarded
def acknowledge(alert: Alert, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Say that somebody looks at it; while it lasts, nobody is told again."""
    import_module(_COMMANDS).settle(alert, "acknowledge", base_url=base_url, as_json=as_json)
    return None


@alerts.command()
@guarded
def resolve(alert: Alert, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Say that it is over."""
    import_module(_COMMANDS).settle(alert, "resolve", base_url=base_url, as_json=as_json)
    return None
