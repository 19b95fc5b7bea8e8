"""A suite's file, read and checked whole: all that can be known before a service is asked."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from deployments.evaluation.suites.errors import Problem, SuiteError, refusal
from deployments.evaluation.suites.items import Row, items_of_file, rows_of_items
from deployments.evaluation.suites.locations import Location, line_of, problem_of
from deployments.evaluation.suites.suite import Suite
from deployments.evaluation.suites.templates import item_fields, templates_of

__all__ = ["LoadedSuite", "check_rows", "read_suite"]


@dataclass(frozen=True, slots=True)
class LoadedSuite:
    """A suite with what it names beside it."""

    path: Path
    suite: Suite
    messages: tuple[dict[str, str], ...]
    """The prompt; files are read in."""
    rows: tuple[Row, ...] | None
    """None where the items are in a file of the service."""
    text: str
    """The YAML."""


def read_suite(path: Path) -> LoadedSuite:
    """Read a suite. Raises SuiteError that lists every problem with its line, field and value."""
    try:
        text = path.read_text(encoding="utf-8")
        loaded = yaml.safe_load(text)
    except OSError as error:
        raise SuiteError(f"The suite {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"The suite {path} is not UTF-8.") from error
    except yaml.YAMLError as error:
        raise SuiteError(f"The suite {path} is not YAML: {error}.") from error
    if not isinstance(loaded, dict):
        raise SuiteError(f"The suite {path} holds a {type(loaded).__name__}, not a mapping.")
    try:
        suite = Suite.model_validate(loaded)
    except ValidationError as error:
        problems = [problem_of(item, text, Suite) for item in error.errors()]
        raise refusal(str(path), problems) from error
    problems = [Problem(line_of(text, where), said) for where, said in _inconsistent(suite)]
    messages, missing = _messages(suite, path.parent)
    problems += [Problem(line_of(text, where), said) for where, said in missing]
    if problems:
        raise refusal(str(path), problems)
    rows = _rows(suite, path.parent)
    found = LoadedSuite(path, suite, messages, rows, text)
    if rows is not None:
        check_rows(found, rows)
    return found


def check_rows(loaded: LoadedSuite, rows: Sequence[Row]) -> None:
    """Raise SuiteError where a template or a slice reads a field that an item does not have."""
    suite = loaded.suite
    wanted: list[tuple[Location, str]] = [
        (("answers", "messages", position), name)
        for position, message in enumerate(loaded.messages)
        for name in item_fields(message["content"])
    ]
    wanted += [
        (("graders", *where), name)
        for where, template in templates_of(suite.graders)
        for name in sorted(item_fields(template))
    ]
    if suite.answers.given is not None:
        wanted.append((("answers", "given"), suite.answers.given))
    wanted += [(("slices", position), name) for position, name in enumerate(suite.slices)]
    problems: list[Problem] = []
    for where, name in wanted:
        without = next((row for row in rows if name not in row.item), None)
        if without is not None:
            count = sum(name not in row.item for row in rows)
            said = (
                f"{'.'.join(map(str, where))} reads item.{name}, which {count} of {len(rows)} "
                f"items do not have, the first on line {without.line} of the data; "
                f"it has {', '.join(sorted(without.item))}"
            )
            problems.append(Problem(line_of(loaded.text, where), said))
    if problems:
        raise refusal(str(loaded.path), problems)


def _inconsistent(suite: Suite) -> Iterator[tuple[Location, str]]:
    names: list[str] = []
    for position, grader in enumerate(suite.graders):
        for key in ("type", "name"):
            if not isinstance(grader.get(key), str) or not grader[key]:
                shown = f"is {grader[key]!r}" if key in grader else "is missing"
                yield (
                    ("graders", position, key),
                    f"graders.{position}.{key} {shown}; needed: a text",
                )
        name = grader.get("name")
        if name in names:
            yield (
                ("graders", position, "name"),
                f"graders.{position}.name = {name!r} is the name of another grader too",
            )
        names.append(str(name))
        yield from _not_json(grader, ("graders", position))
    for name in suite.thresholds:
        if name not in names:
            yield (
                ("thresholds", name),
                f"thresholds.{name} names no grader; there are: {', '.join(names)}",
            )
    for position, item in enumerate(suite.data.items or ()):
        yield from _not_json(item, ("data", position))


def _not_json(
    value: dict[str, Any], where: tuple[str | int, ...]
) -> Iterator[tuple[Location, str]]:
    for key, inner in value.items():
        try:
            json.dumps(inner)
        except (TypeError, ValueError):
            at = (*where, str(key))
            said = f"{'.'.join(map(str, at))} = {inner!r} is a {type(inner).__name__}"
            yield at, f"{said}, which JSON has not: put it in quotes"


def _messages(
    suite: Suite, folder: Path
) -> tuple[tuple[dict[str, str], ...], list[tuple[Location, str]]]:
    messages: list[dict[str, str]] = []
    problems: list[tuple[Location, str]] = []
    for position, message in enumerate(suite.answers.messages):
        content = message.content
        if message.file is not None:
            try:
                content = (folder / message.file.expanduser()).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                where = ("answers", "messages", position, "file")
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                said = f"answers.messages.{position}.file = {str(message.file)!r}: {reason}"
                problems.append((where, said))
        messages.append({"role": message.role, "content": content or ""})
    return tuple(messages), problems


def _rows(suite: Suite, folder: Path) -> tuple[Row, ...] | None:
    if suite.data.path is not None:
        return tuple(items_of_file(folder / suite.data.path.expanduser()))
    if suite.data.items is not None:
        if not suite.data.items:
            raise SuiteError("data.items is empty.", fix="Give at least one item.")
        return tuple(rows_of_items(suite.data.items))
    return None
