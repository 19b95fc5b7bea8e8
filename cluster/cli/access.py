"""`everloop keys`, `everloop projects` and `everloop audit`: who may do what, and who did."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cluster.cli.exits import USAGE, guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["audit", "keys", "projects"]

_MANAGING: Final = "cluster.cli.managing"
_AUDIT: Final = "cluster.cli.audit_log"

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Its id, key_….")]
ProjectId = Annotated[str, typer.Argument(metavar="PROJECT", help="Its id, proj_….")]
OfProject = Annotated[
    str | None,
    typer.Option("--project", metavar="ID", help="Of this project; by default of the key's own."),
]
Limits = Annotated[
    str | None, typer.Option("--limits", metavar="JSON", help="See docs/trust.md; replaces all.")
]
Save = Annotated[
    bool, typer.Option("--save", help="Write it to the data folder's `env`, in place of the one.")
]

keys = typer.Typer(help="API keys: what opens the door.", no_args_is_help=True)
projects = typer.Typer(
    help="Projects: whose everything is. Operators manage them.", no_args_is_help=True
)
audit = typer.Typer(help="The audit log: who changed what.", no_args_is_help=True)


def _managing() -> Any:
    return import_module(_MANAGING)


def _audit() -> Any:
    return import_module(_AUDIT)


@keys.command("create")
@guarded
def create_key(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", help="inference (the default), documents, training or admin; several."
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="Such as 30d, 12h or 90m.")
    ] = None,
    project: OfProject = None,
    limits: Limits = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="On the server, for who has no key: make one that may do everything, in the "
            "records themselves.",
        ),
    ] = False,
    save: Save = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Make a key, and show it this once."""
    if local and (scopes or expires or project or limits or base_url):
        typer.echo("With --local a key may do everything; give no other option.", err=True)
        return USAGE
    if local:
        _managing().create_local_key(name, save=save, as_json=as_json)
        return None
    _managing().create_key(
        name,
        scopes or ["inference"],
        expires=expires,
        project=project,
        limits=limits,
        save=save,
        base_url=base_url,
        as_json=as_json,
    )
    return None


@keys.command("list")
@guarded
def list_keys(
    project: OfProject = None, base_url: BaseUrl = None, as_json: AsJson = False
) -> int | None:
    """List keys, newest first, and when each was last used."""
    _managing().list_keys(project, base_url, as_json=as_json)
    return None


@keys.command("show")
@guarded
def show_key(key: KeyId, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Show what a key may do. The key itself is not kept anywhere."""
    _managing().show_key(key, base_url, as_json=as_json)
    return None


@keys.command("revoke")
@guarded
def revoke_key(
    key: KeyId,
    force: Annotated[
        bool, typer.Option("--force", help="The last key that manages everything, too.")
    ] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Let a key count no more."""
    _managing().revoke_key(key, base_url, force=force, as_json=as_json)
    return None


@keys.command("rotate")
@guarded
def rotate_key(
    key: KeyId,
    grace: Annotated[
        str | None,
        typer.Option("--grace", metavar="TIME", help="So long the old one counts, such as 1h."),
    ] = None,
    save: Save = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Replace a key by a new one that may do the same, and show that this once."""
    _managing().rotate_key(key, grace, base_url, save=save, as_json=as_json)
    return None


@projects.command("create")
@guarded
def create_project(
    name: Annotated[str, typer.Argument(help="A name that no other project has.")],
    limits: Limits = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Make a project. `everloop keys create --project` makes its first key."""
    _managing().create_project(name, limits, base_url, as_json=as_json)
    return None


@projects.command("list")
@guarded
def list_projects(base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """List projects, newest first."""
    _managing().list_projects(base_url, as_json=as_json)
    return None


@projects.command("show")
@guarded
def show_project(
    project: ProjectId, base_url: BaseUrl = None, as_json: AsJson = False
) -> int | None:
    """Show a project; of a deleted one, what was deleted where."""
    _managing().show_project(project, base_url, as_json=as_json)
    return None


@projects.command("update")
@guarded
def update_project(
    project: ProjectId,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    limits: Limits = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Change a project's name or limits."""
    if name is None and limits is None:
        typer.echo("Give --name or --limits.", err=True)
        return USAGE
    _managing().update_project(project, name, limits, base_url, as_json=as_json)
    return None


@projects.command("delete")
@guarded
def delete_project(
    project: ProjectId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Stop a project's keys at once, and delete all that belongs to it."""
    if not yes:
        typer.confirm(f"Delete {project} and all that belongs to it?", abort=True, err=True)
    _managing().delete_project(project, base_url, as_json=as_json)
    return None


@audit.command("list")
@guarded
def list_events(
    action: Annotated[
        str | None,
        typer.Option("--action", help="Such as alias.promoted, or alias. for all of it."),
    ] = None,
    object_id: Annotated[
        str | None, typer.Option("--object", metavar="ID", help="What was changed.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", help="A key's id, `cli` or `system`.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Of the last 7d, 12h or 90m.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="Events to show.")] = 50,
    project: OfProject = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """List who changed what, newest first."""
    wanted = {"action": action, "object_id": object_id, "actor": actor, "project": project}
    _audit().list_events(wanted, since, most, base_url, as_json=as_json)
    return None


@audit.command("export")
@guarded
def export_events(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="By default standard output.")
    ] = None,
    project: OfProject = None,
    base_url: BaseUrl = None,
) -> int | None:
    """Write all events, oldest first, as JSON Lines that `verify` reads."""
    _audit().export_events(out, project, base_url)
    return None


@audit.command("verify")
@guarded
def verify_events(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="An export; by default what the records hold."),
    ] = None,
    project: OfProject = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Recompute the chain of events, and name the first one that is broken: exit code 1 then."""
    code: int = _audit().verify_events(file, project, base_url, as_json=as_json)
    return code
