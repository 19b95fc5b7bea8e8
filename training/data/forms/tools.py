"""Tools that a row offers, and the assistant's calls of them."""

import json
import re
from collections.abc import Collection
from typing import Any, Final

from training.data.forms.values import Say, seen, unknown_keys

__all__ = ["check_calls", "check_tools", "tool_names"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOOL_KEYS: Final = frozenset({"type", "function"})
_FUNCTION_KEYS: Final = frozenset({"name", "description", "parameters", "strict"})
_CALL_KEYS: Final = frozenset({"id", "type", "function"})
_CALLED_KEYS: Final = frozenset({"name", "arguments"})


def tool_names(tools: Any) -> frozenset[str] | None:
    """The names that `tools` defines; None where there is no such list to hold calls against."""
    if not isinstance(tools, list) or not tools:
        return None
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    return frozenset(
        function["name"]
        for function in functions
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    )


def check_tools(tools: Any, at: str, say: Say) -> None:
    """Report what is wrong with a row's `tools`; null is as if they were not there."""
    if tools is None:
        return
    if not isinstance(tools, list):
        say(at, f"is {seen(tools)}; it must be a list of tools.")
        return
    names: set[str] = set()
    for i, tool in enumerate(tools):
        here = f"{at}[{i}]"
        function = _function(tool, here, _TOOL_KEYS, say)
        if function is None:
            continue
        unknown_keys(function, _FUNCTION_KEYS, f"{here}.function", say)
        name = function.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            say(f"{here}.function.name", f"is {seen(name)}; a name is 1-64 of a-z, A-Z, 0-9, _, -.")
        elif name in names:
            say(f"{here}.function.name", f"is {seen(name)}, which a tool before it has too.")
        else:
            names.add(name)
        parameters = function.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            say(f"{here}.function.parameters", f"is {seen(parameters)}; it must be a JSON schema.")


def check_calls(
    calls: Any, at: str, say: Say, *, defined: Collection[str] | None, parallel: bool
) -> list[str]:
    """Report what is wrong with a message's `tool_calls`; returns the ids that are to be answered.

    `defined`: names of the row's tools, None where it lists none.
    """
    if not isinstance(calls, list) or not calls:
        say(at, f"is {seen(calls)}; it must be a list with a call in it.")
        return []
    if len(calls) > 1 and not parallel:
        say(at, f"has {len(calls)} calls, but the row's `parallel_tool_calls` is false.")
    ids: list[str] = []
    for i, call in enumerate(calls):
        here = f"{at}[{i}]"
        function = _function(call, here, _CALL_KEYS, say)
        if function is None:
            continue
        identifier = call.get("id")
        if not isinstance(identifier, str) or not identifier:
            say(f"{here}.id", f"is {seen(identifier)}; a call needs an id, which its answer names.")
        elif identifier in ids:
            say(f"{here}.id", f"is {seen(identifier)}, which a call before it has too.")
        else:
            ids.append(identifier)
        _check_called(function, f"{here}.function", say, defined)
    return ids


def _function(record: Any, at: str, keys: Collection[str], say: Say) -> dict[str, Any] | None:
    """The `function` of a tool or a call, if there is one to look into."""
    if not isinstance(record, dict):
        say(at, f"is {seen(record)}; it must be an object with `type` and `function`.")
        return None
    unknown_keys(record, keys, at, say)
    if record.get("type") != "function":
        say(f"{at}.type", f'is {seen(record.get("type"))}; only "function" is allowed.')
    function = record.get("function")
    if not isinstance(function, dict):
        say(f"{at}.function", f"is {seen(function)}; it must be an object.")
        return None
    return function


def _check_called(
    function: dict[str, Any], at: str, say: Say, defined: Collection[str] | None
) -> None:
    unknown_keys(function, _CALLED_KEYS, at, say)
    name = function.get("name")
    if not isinstance(name, str) or not name:
        say(f"{at}.name", f"is {seen(name)}; it must name a function.")
    elif defined is not None and name not in defined:
        say(f"{at}.name", f"is {seen(name)}, which the row's `tools` do not define.")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        say(f"{at}.arguments", f"is {seen(arguments)}; write the JSON object as a string.")
        return
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        say(f"{at}.arguments", f"is {seen(arguments)}, which is not JSON.")
        return
    if not isinstance(parsed, dict):
        say(f"{at}.arguments", f"is {seen(arguments)}; the string must hold a JSON object.")
