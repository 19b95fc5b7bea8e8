"""What `everloop feedback` does, over HTTP; rows to train on are made in `exporting.py`."""

import getpass
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.text import Text

from cluster.client import connected, translated_errors
from cluster.errors import ApiError, SettingsError
from cluster.paging import pages_of
from cluster.tables import plain_table, show_table, visible
from cluster.terminal import print_json, shown_time

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["Narrowing", "all_feedback", "listed", "review", "service", "show"]

_SHOWN: Final = 60
_CONFLICT: Final = 409
_KEYS: Final = "[a]ccept  [r]eject  [s]kip  [e]dit the correction  [q]uit: "


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which feedback is meant, as the options say."""

    trace: str | None = None
    name: str | None = None
    thumbs: str | None = None
    review: str | None = None
    source: str | None = None
    corrected: bool | None = None
    model: str | None = None
    prompt: str | None = None
    experiment: str | None = None
    since: str | None = None
    until: str | None = None

    def query(self) -> dict[str, Any]:
        """The parameters of `GET /v1/feedback`."""
        found = {
            "trace_id": self.trace,
            "name": self.name,
            "thumbs": self.thumbs,
            "review": self.review,
            "source": self.source,
            "has_correction": self.corrected,
            "model": self.model,
            "prompt_version": self.prompt,
            "experiment": self.experiment,
            "since": _epoch("--since", self.since),
            "until": _epoch("--until", self.until),
        }
        return {name: value for name, value in found.items() if value is not None}


@contextmanager
def service(base_url: str | None) -> Iterator["OpenAI"]:
    """The client, with its errors in our words."""
    with connected(base_url) as client:
        yield client


def all_feedback(
    client: "OpenAI", query: Mapping[str, Any], *, order: str = "desc"
) -> Iterator[dict[str, Any]]:
    """Each one with its trace, page by page."""
    return pages_of(client, "/feedback", {**query, "include[]": "trace", "order": order})


def listed(narrowing: Narrowing, most: int, *, base_url: str | None, as_json: bool) -> None:
    """List feedback, newest first."""
    with service(base_url) as client:
        found = list(islice(all_feedback(client, narrowing.query()), most))
    if as_json:
        print_json(found)
        return
    if not found:
        print("There is no such feedback.")
        return
    table = plain_table("id", "when", "review", "says", "question", "model")
    for one in found:
        trace = one["trace"] or {}
        table.add_row(
            one["id"],
            shown_time(one["created_at"]),
            one["review"],
            _cell(_gist(one)),
            _cell(trace.get("question") or one["trace_id"]),
            trace.get("model") or "",
        )
    show_table(Console(), table)


def show(feedback_id: str, *, base_url: str | None, as_json: bool) -> None:
    """Show one, with the question and the answer."""
    with service(base_url) as client:
        found: Any = client.get(
            f"/feedback/{feedback_id}",
            cast_to=object,
            options={"params": {"include[]": "trace"}},
        )
    if as_json:
        print_json(found)
    else:
        _show(Console(), found)


def review(
    narrowing: Narrowing,
    *,
    accept: Sequence[str],
    reject: Sequence[str],
    everything: bool,
    reviewer: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Review the ids given, or `everything` that is narrowed to, or one by one with a person."""
    name = reviewer or _own_name()
    with service(base_url) as client:
        if accept or reject:
            wishes = [*((i, "accepted") for i in accept), *((i, "rejected") for i in reject)]
            done = [_decide(client, i, {"review": wish, "reviewer": name}) for i, wish in wishes]
        else:
            waiting = list(
                all_feedback(client, {**narrowing.query(), "review": "pending"}, order="asc")
            )
            if everything:
                done = list(_accept_all(client, waiting, name))
            elif as_json:
                raise SettingsError(
                    "--json does not go with a review one by one.",
                    fix="Name ids with --accept and --reject, or give one of --all-….",
                )
            else:
                _one_by_one(client, waiting, name, Console())
                return
    if as_json:
        print_json(done)
    else:
        accepted = sum(one["review"] == "accepted" for one in done)
        print(f"{accepted} accepted, {len(done) - accepted} rejected")


def _own_name() -> str | None:
    """None where this process runs as a user without a name, as some containers do."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _accept_all(
    client: "OpenAI", waiting: Sequence[Mapping[str, Any]], reviewer: str | None
) -> Iterator[dict[str, Any]]:
    """What changes meanwhile is left waiting."""
    for one in waiting:
        seen = {"review": "accepted", "reviewer": reviewer, "updated_at": one["updated_at"]}
        if (decided := _decide_unchanged(client, one["id"], seen)) is not None:
            yield decided


def _one_by_one(
    client: "OpenAI", waiting: Sequence[Mapping[str, Any]], reviewer: str | None, console: Console
) -> None:
    counts = {"accepted": 0, "rejected": 0}
    for number, one in enumerate(waiting, start=1):
        console.rule(f"{number} of {len(waiting)}")
        _show(console, one)
        decided = _asked(console, one)
        if decided is None:
            break
        if not decided:
            continue
        body = {**decided, "reviewer": reviewer, "updated_at": one["updated_at"]}
        if _decide_unchanged(client, one["id"], body) is None:
            console.print("It has changed meanwhile, and waits for its next review.")
        else:
            counts[decided["review"]] += 1
    if not waiting:
        console.print("Nothing waits for a review.")
        return
    print(f"{counts['accepted']} accepted, {counts['rejected']} rejected")


def _asked(console: Console, one: Mapping[str, Any]) -> dict[str, str] | None:
    """What a person decides; empty to skip, None to stop."""
    correction = None
    while True:
        try:
            key = console.input(Text(_KEYS)).strip().casefold()[:1]
        except EOFError:
            return None
        if key == "e":
            edited = click.edit(correction or one["correction"] or _answer(one) or "")
            if edited is not None and edited.strip():
                correction = edited.strip()
                console.print(Text.assemble(("correction  ", "dim"), visible(correction)))
        elif key in ("a", "r"):
            told = {} if correction is None else {"correction": correction}
            return {"review": "accepted" if key == "a" else "rejected", **told}
        elif key in ("s", "q"):
            return {} if key == "s" else None


def _decide(client: "OpenAI", feedback_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    found: Any = client.post(f"/feedback/{feedback_id}/review", cast_to=object, body=body)
    return dict(found)


def _decide_unchanged(
    client: "OpenAI", feedback_id: str, body: Mapping[str, Any]
) -> dict[str, Any] | None:
    """None where it is not as it was seen."""
    try:
        with translated_errors(str(client.base_url)):
            return _decide(client, feedback_id, body)
    except ApiError as error:
        if error.status != _CONFLICT:
            raise
        return None


def _show(console: Console, one: Mapping[str, Any]) -> None:
    trace = one["trace"] or {}
    lines = {
        "id": one["id"],
        "trace": one["trace_id"],
        "answered by": trace.get("model"),
        "prompt": trace.get("prompt_version"),
        "question": trace.get("question"),
        "answer": trace.get("answer"),
        "thumbs": one["thumbs"],
        "score": one["score"],
        "correction": one["correction"],
        "comment": one["comment"],
        "review": one["review"] + (f" by {one['reviewer']}" if one["reviewer"] else ""),
    }
    width = max(map(len, lines)) + 2
    for label, value in lines.items():
        if value is not None:
            text = Text.assemble((f"{label:<{width}}", "dim"), visible(str(value)))
            console.print(text, highlight=False, soft_wrap=True)


def _answer(one: Mapping[str, Any]) -> str | None:
    return None if one["trace"] is None else one["trace"]["answer"]


def _gist(one: Mapping[str, Any]) -> str:
    parts = [one["thumbs"], None if one["score"] is None else f"score {one['score']:g}"]
    if one["correction"]:
        parts.append(f"→ {one['correction']}")
    if one["comment"]:
        parts.append(f"«{one['comment']}»")
    return ", ".join(part for part in parts if part)


def _cell(text: str) -> Text:
    text = " ".join(text.split())
    return Text(visible(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"))


def _epoch(option: str, given: str | None) -> int | None:
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise SettingsError(
            f"{option} {given!r} is no date.", fix="Such as 2026-01-31 or 2026-01-31T08:00 (UTC)."
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
