"""What `everloop prompts` does, over HTTP."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from rich.console import Console
from rich.text import Text

from cluster.client import connected
from cluster.errors import ApiError, SettingsError
from cluster.paging import pages_of
from cluster.tables import plain_table, show_table
from cluster.terminal import print_json, shown_time

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = [
    "delete",
    "diff",
    "history",
    "label",
    "listed",
    "pull",
    "push",
    "render",
    "rollback",
    "show",
]

_PAGE: Final = 100
_SHOWN_VERSIONS: Final = 10
_MISSES: Final = "`everloop prompts list` lists the prompts, `everloop prompts show NAME` versions."


def listed(base_url: str | None, *, as_json: bool) -> None:
    """List the prompts."""
    with _client(base_url) as client:
        rows = list(pages_of(client, "/prompts"))
    if as_json:
        print_json({"object": "list", "data": rows})
        return
    table = plain_table("prompt", "versions", "labels", "what for", "changed")
    for row in rows:
        told = Text(row["description"] or "-")
        table.add_row(
            row["name"], str(row["latest"]), _labels(row), told, shown_time(row["updated_at"])
        )
    console = Console()
    if rows:
        show_table(console, table)
    else:
        console.print("No prompt yet: `everloop prompts push FILE` makes one.", highlight=False)


def show(reference: str, base_url: str | None, *, as_json: bool) -> None:
    """Show a version."""
    name, version = _split(reference)
    with _client(base_url) as client:
        prompt = _get(client, f"/prompts/{name}")
        wanted = version or ("production" if "production" in prompt["labels"] else "latest")
        found = _get(client, f"/prompts/{name}/versions/{wanted}")
        others = _get(client, f"/prompts/{name}/versions?limit={_SHOWN_VERSIONS}")
    if as_json:
        print_json(prompt | {"version": found, "versions": others["data"]})
        return
    console = Console()
    console.print(Text(f"{found['id']}, version {found['number']} of {prompt['latest']}"))
    if prompt["description"]:
        console.print(Text(prompt["description"]))
    console.print(Text(f"labels: {_labels(prompt)}"))
    console.print()
    body = yaml.safe_dump(found["body"], sort_keys=False, allow_unicode=True, width=_PAGE)
    console.print(Text(body.rstrip()), soft_wrap=True)
    console.print()
    table = plain_table("version", "digest", "labels", "why", "made")
    for row in others["data"]:
        why = Text(row["comment"] or "-")
        labels = ", ".join(row["labels"]) or "-"
        table.add_row(str(row["number"]), row["digest"], labels, why, shown_time(row["created_at"]))
    show_table(console, table)


def push(
    path: Path,
    *,
    name: str | None,
    form: str,
    label: str | None,
    message: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Make a version of a file where it says something new. Raises SettingsError, ApiError."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {error}.", fix="Give a text file that there is."
        ) from error
    body: dict[str, Any] = {"content": content, "format": form, "filename": path.name}
    if name is None and form != "everloop" and not _says_its_name(content):
        name = path.name.split(".")[0].lower().replace(" ", "_")
    chosen = {"name": name, "label": label, "comment": message}
    body |= {key: value for key, value in chosen.items() if value is not None}
    with _client(base_url) as client:
        prompt = _post(client, "/prompts/import", body)
    if as_json:
        print_json(prompt)
        return
    version = prompt["version"]
    made = "made" if version["created"] else "says nothing new: it is"
    print(f"{prompt['name']}: {made} version {version['number']}, {version['id']}")
    if version["labels"]:
        print(f"labels: {', '.join(version['labels'])}")


def pull(
    reference: str, *, out: Path | None, form: str, base_url: str | None, as_json: bool
) -> None:
    """Write a version to a file. Raises SettingsError where it cannot be written."""
    name, version = _split(reference)
    query = f"format={form}" + (f"&version={version}" if version else "")
    with _client(base_url) as client:
        found = _get(client, f"/prompts/{name}/export?{query}")
    if out is not None:
        try:
            out.write_text(found["content"], encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"{out} cannot be written: {error.strerror}.", fix="Give --out a folder there is."
            ) from error
    if as_json:
        print_json(found)
    elif out is None:
        print(found["content"], end="" if found["content"].endswith("\n") else "\n")
    else:
        print(f"{found['version']} is in {out}")


def diff(name: str, old: str, new: str, base_url: str | None, *, as_json: bool) -> None:
    """Show what one version says differently from another."""
    with _client(base_url) as client:
        found = _get(client, f"/prompts/{name}/diff?from={old}&to={new}")
    if as_json:
        print_json(found)
        return
    console = Console()
    colors = {"+": "green", "-": "red", "@": "cyan"}
    for line in found["unified"].splitlines():
        console.print(Text(line, style=colors.get(line[:1], "")), soft_wrap=True)
    if not found["unified"]:
        print(f"{found['old']} and {found['new']} say the same")


def label(
    reference: str,
    name: str,
    *,
    expected: int | None,
    reason: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Let a label stand at a version."""
    prompt, version = _split(reference)
    chosen = {"version": version or "latest", "expected": expected, "reason": reason}
    body = {key: value for key, value in chosen.items() if value is not None}
    with _client(base_url) as client:
        moved = _post(client, f"/prompts/{prompt}/labels/{name}", body)
    _moved(prompt, moved, as_json=as_json)


def rollback(
    name: str,
    label: str,
    *,
    steps: int,
    reason: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Let a label stand where it stood before."""
    body = {"steps": steps} | ({} if reason is None else {"reason": reason})
    with _client(base_url) as client:
        moved = _post(client, f"/prompts/{name}/labels/{label}/rollback", body)
    _moved(name, moved, as_json=as_json)


def history(name: str, label: str, base_url: str | None, *, as_json: bool) -> None:
    """List how a label moved."""
    with _client(base_url) as client:
        found = _get(client, f"/prompts/{name}/labels/{label}/history?limit={_PAGE}")
    if as_json:
        print_json(found)
        return
    table = plain_table("how", "from", "to", "why", "at")
    for row in found["data"]:
        source = "-" if row["source"] is None else str(row["source"])
        why = Text(row["reason"] or "-")
        table.add_row(row["kind"], source, str(row["target"]), why, shown_time(row["created_at"]))
    console = Console()
    if found["data"]:
        show_table(console, table)
    else:
        console.print(f"{label} of {name} never stood anywhere.", highlight=False)


def render(reference: str, values: Sequence[str], base_url: str | None, *, as_json: bool) -> None:
    """Show a version's messages. Raises SettingsError for a value that is not NAME=VALUE."""
    name, version = _split(reference)
    body: dict[str, Any] = {"variables": dict(_value(value) for value in values)}
    body |= {} if version is None else {"version": version}
    with _client(base_url) as client:
        found = _post(client, f"/prompts/{name}/render", body)
    if as_json:
        print_json(found)
        return
    console = Console()
    for message in found["messages"]:
        console.print(Text(f"{message['role']}:", style="bold"))
        console.print(Text(message["content"]), soft_wrap=True)
    console.print(
        Text(f"{found['version']}: at most {found['tokens']} tokens", style="dim"), soft_wrap=True
    )


def delete(name: str, base_url: str | None, *, as_json: bool) -> None:
    """Forget a prompt."""
    with _client(base_url) as client:
        found: Any = client.delete(f"/prompts/{name}", cast_to=object)
    if as_json:
        print_json(found)
    else:
        print(f"{name} is deleted; its versions are still found by their digests")


@contextmanager
def _client(base_url: str | None) -> Iterator["OpenAI"]:
    try:
        with connected(base_url) as client:
            yield client
    except ApiError as error:
        if error.status == 404 and not error.fix:
            error.fix = _MISSES
        raise


def _get(client: "OpenAI", path: str) -> Any:
    return client.get(path, cast_to=object)


def _post(client: "OpenAI", path: str, body: dict[str, Any]) -> Any:
    return client.post(path, body=body, cast_to=object)


def _moved(prompt: str, moved: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(moved)
        return
    was = "nowhere" if moved["previous"] is None else f"at {moved['previous']}"
    print(f"{moved['id']} of {prompt} stands at {moved['number']}, {moved['version']} (was {was})")


def _split(reference: str) -> tuple[str, str | None]:
    name, _, version = reference.partition("@")
    return name, version or None


def _value(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"--set {text!r} is not NAME=VALUE.", fix="Such as --set city=Bern.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _says_its_name(content: str) -> bool:
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError):
        return False
    return isinstance(value, dict) and isinstance(value.get("name"), str) and "messages" in value


def _labels(prompt: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in prompt["labels"].items()) or "-"
