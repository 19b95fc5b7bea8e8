"""What `everloop keys` and `everloop projects` do, over HTTP; `--local` in the records."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from cluster.client import connected
from cluster.errors import SettingsError
from cluster.key_file import KeyFile, key_file_path, write_key_file
from cluster.paging import pages_of
from cluster.settings import load_settings
from cluster.tables import plain_table, show_table, visible
from cluster.terminal import print_json, shown_time

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = [
    "create_key",
    "create_local_key",
    "create_project",
    "delete_project",
    "list_keys",
    "list_projects",
    "revoke_key",
    "rotate_key",
    "seconds_of",
    "show_key",
    "show_project",
    "update_project",
]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(time: str) -> int:
    """Seconds of `30d`, `12h`, `90m` or `45s`. Raises SettingsError."""
    found = re.fullmatch(r"([1-9][0-9]{0,7})([smhd])", time)
    if found is None:
        raise SettingsError(f"{time!r} is no time.", fix="Such as 30d, 12h, 90m or 45s.")
    return int(found[1]) * _UNITS[found[2]]


def create_key(
    name: str,
    scopes: list[str],
    *,
    expires: str | None,
    project: str | None,
    limits: str | None,
    save: bool,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Make a key over the API. Raises SettingsError, ApiError."""
    body = _given(
        name=name,
        scopes=scopes,
        expires_in=None if expires is None else seconds_of(expires),
        project=project,
        limits=_limits(limits),
    )
    with _client(base_url) as client:
        made: Any = client.post("/keys", body=body, cast_to=object)
        if save:
            _save(str(client.base_url).rstrip("/"), made["key"])
    _tell_key(made, as_json=as_json)


def create_local_key(name: str, *, save: bool, as_json: bool) -> None:
    """Make a key that may do everything, in the records themselves. Raises DatabaseError."""
    from cluster.launch.first_key import make_local_key

    settings = load_settings()
    key = make_local_key(settings, name=name, save=save)
    if as_json:
        print_json({"name": name, "scopes": ["admin"], "key": key})
        return
    print(key)
    if save:
        print(f"Written to {key_file_path(settings.data_dir)}.")
    print("It may do everything. It is shown this once.")


def list_keys(project: str | None, base_url: str | None, *, as_json: bool) -> None:
    """List all keys of a project."""
    with _client(base_url) as client:
        found = list(pages_of(client, "/keys", {"project": project}, 10_000))
    if as_json:
        print_json(found)
        return
    table = plain_table("id", "name", "key", "scopes", "status", "expires", "last used")
    for key in found:
        table.add_row(
            key["id"],
            visible(key["name"]),
            key["shown"],
            ", ".join(key["scopes"]),
            key["status"],
            shown_time(key["expires_at"]),
            shown_time(key["last_used_at"]),
        )
    show_table(Console(), table)


def show_key(key_id: str, base_url: str | None, *, as_json: bool) -> None:
    """Show one key."""
    with _client(base_url) as client:
        found: Any = client.get(f"/keys/{key_id}", cast_to=object)
    _show(found, as_json=as_json)


def revoke_key(key_id: str, base_url: str | None, *, force: bool, as_json: bool) -> None:
    """Revoke a key."""
    path = f"/keys/{key_id}" + ("?force=true" if force else "")
    with _client(base_url) as client:
        found: Any = client.delete(path, cast_to=object)
    if as_json:
        print_json(found)
    else:
        print(f"{found['id']} ({visible(found['name'])}) counts no more.")


def rotate_key(
    key_id: str, grace: str | None, base_url: str | None, *, save: bool, as_json: bool
) -> None:
    """Replace a key."""
    body = {"grace_s": 0 if grace is None else seconds_of(grace)}
    with _client(base_url) as client:
        made: Any = client.post(f"/keys/{key_id}/rotate", body=body, cast_to=object)
        if save:
            _save(str(client.base_url).rstrip("/"), made["key"])
    _tell_key(made, as_json=as_json)


def create_project(name: str, limits: str | None, base_url: str | None, *, as_json: bool) -> None:
    """Make a project."""
    with _client(base_url) as client:
        body = _given(name=name, limits=_limits(limits))
        made: Any = client.post("/projects", body=body, cast_to=object)
    if as_json:
        print_json(made)
        return
    print(f"{made['id']} ({visible(made['name'])}). Its first key:")
    print(f"  everloop keys create NAME --scope admin --project {made['id']}")


def list_projects(base_url: str | None, *, as_json: bool) -> None:
    """List projects."""
    with _client(base_url) as client:
        found = list(pages_of(client, "/projects", {}, 10_000))
    if as_json:
        print_json(found)
        return
    table = plain_table("id", "name", "status", "created")
    for one in found:
        table.add_row(one["id"], visible(one["name"]), one["status"], shown_time(one["created_at"]))
    show_table(Console(), table)


def show_project(project: str, base_url: str | None, *, as_json: bool) -> None:
    """Show one project."""
    with _client(base_url) as client:
        found: Any = client.get(f"/projects/{project}", cast_to=object)
    _show(found, as_json=as_json)


def update_project(
    project: str, name: str | None, limits: str | None, base_url: str | None, *, as_json: bool
) -> None:
    """Change a project."""
    with _client(base_url) as client:
        body = _given(name=name, limits=_limits(limits))
        found: Any = client.post(f"/projects/{project}", body=body, cast_to=object)
    _show(found, as_json=as_json)


def delete_project(project: str, base_url: str | None, *, as_json: bool) -> None:
    """Delete a project."""
    with _client(base_url) as client:
        found: Any = client.delete(f"/projects/{project}", cast_to=object)
    if as_json:
        print_json(found)
        return
    print(f"{found['id']} ({visible(found['name'])}) is {found['status']}; its keys count no more.")
    print(f"  everloop projects show {found['id']}    what was deleted where")


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _limits(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(
            f"--limits is no JSON: {error}.", fix="""Such as '{"requests_per_minute": 60}'."""
        ) from error


def _save(base_url: str, key: str) -> None:
    write_key_file(load_settings().data_dir, KeyFile(base_url, key))


def _tell_key(made: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    print(made["key"])
    print(
        f"{made['id']} ({visible(made['name'])}) of {made['project']}: "
        f"{', '.join(made['scopes'])}. It is shown this once."
    )


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in found.items():
        shown = shown_time(value) if name.endswith("_at") else value
        table.add_row(name, visible(shown if isinstance(shown, str) else json.dumps(shown)))
    Console().print(table, highlight=False)


@contextmanager
def _client(base_url: str | None) -> Iterator["OpenAI"]:
    with connected(base_url) as client:
        yield client.with_options(max_retries=0)  # openai's own would try each 409 again
