"""A client's `prompt` (OpenAI's shape), and the messages that a prompt version makes of a request.

`{"id": "greeting", "version": "production", "variables": {"city": "Bern"}}`: `id` is a prompt's
name or its id, `version` a number, a label, a digest or `latest`; by default the label
`production`. A variable may be any JSON value, or OpenAI's `{"type": "input_text", "text": …}`.

The prompt's messages go around the client's: system messages and examples first, then earlier
turns, then the prompt's last user message. The variable `question`, where the prompt declares it
and the client gives no value, is the text of the client's last user message, which the prompt's
last message then replaces; otherwise the client's last user message follows the prompt.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from deployments.errors import InvalidRequest
from deployments.gateway.bodies import storable
from deployments.prompts import Prompt, PromptError, VariableError

__all__ = [
    "BY_SEARCH",
    "FILLED",
    "QUESTION",
    "PromptUse",
    "check_grounded",
    "prompt_errors",
    "question_of",
    "read_prompt_use",
    "told_messages",
    "told_options",
    "with_question",
]

QUESTION: Final = "question"
BY_SEARCH: Final = ("passages", "highlights", "instructions")
"""Variables that grounding fills."""
FILLED: Final = (QUESTION, *BY_SEARCH)
"""Variables that a request fills by itself."""
_GROUNDED: Final = ("passages", QUESTION)
_LONGEST: Final = 128
_FIELDS: Final = frozenset({"id", "version", "variables"})
_SYSTEMS: Final = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class PromptUse:
    """What a client says of the prompt it wants."""

    reference: str
    """`name@version`."""
    variables: dict[str, Any] = field(default_factory=dict)


def read_prompt_use(body: dict[str, Any]) -> PromptUse | None:
    """Read `body["prompt"]`. Raises InvalidRequest that names the field."""
    given = body.get("prompt")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _invalid("prompt", "must be an object such as {'id': 'greeting'}")
    if extra := sorted(set(given) - _FIELDS):
        allowed = ", ".join(sorted(_FIELDS))
        raise _invalid(f"prompt.{extra[0][:64]}", f"is unknown; allowed: {allowed}")
    name, version = given.get("id"), given.get("version")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or "@" in name:
        raise _invalid("prompt.id", "must be the name or the id of a prompt")
    if isinstance(version, int) and not isinstance(version, bool):
        version = str(version)
    if version is not None and (not isinstance(version, str) or not 0 < len(version) <= _LONGEST):
        raise _invalid("prompt.version", "must be a number, a label or a digest")
    variables = given.get("variables")
    if not isinstance(variables, dict | None):
        raise _invalid("prompt.variables", "must be an object")
    values = {key: _value(key, value) for key, value in (variables or {}).items()}
    return PromptUse(name if version is None else f"{name}@{version}", values)


def _value(key: str, value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") in {"input_image", "input_file"}:
        raise _invalid(f"prompt.variables.{key[:64]}", f"is an {value['type']}; only text is read")
    if isinstance(value, dict) and value.get("type") == "input_text":
        value = value.get("text")
        if not isinstance(value, str):
            raise _invalid(f"prompt.variables.{key[:64]}.text", "must be a text")
    if isinstance(value, str):
        try:
            return storable(value)
        except ValueError as error:
            raise _invalid(f"prompt.variables.{key[:64]}", f"is no text: {error}") from error
    return value


def question_of(messages: list[dict[str, Any]]) -> str | None:
    """The text of the last user message."""
    found = _last_user(messages)
    return None if found is None else _text(messages[found].get("content"))


def with_question(
    prompt: Prompt, variables: Mapping[str, Any], messages: list[dict[str, Any]]
) -> dict[str, Any]:
    """`variables`, with `question` from the last user message where the prompt declares it."""
    question = question_of(messages)
    if QUESTION not in prompt.variables or QUESTION in variables or not question:
        return dict(variables)
    return {**variables, QUESTION: question}


def told_messages(
    prompt: Prompt, variables: Mapping[str, Any], messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the model is told: the prompt around the conversation `messages`, which may be empty.

    Raises InvalidRequest that names `prompt.variables.NAME`.
    """
    with prompt_errors():
        opening, closing = prompt.parts(with_question(prompt, variables, messages))
    systems = [message for message in messages if message["role"] in _SYSTEMS]
    spoken = [message for message in messages if message["role"] not in _SYSTEMS]
    first = next((n for n, m in enumerate(opening) if m["role"] != "system"), len(opening))
    opening = [*opening[:first], *systems, *opening[first:]]
    last = _last_user(spoken)
    if last is None:
        return [*opening, *spoken, *closing]
    consumed = QUESTION in prompt.variables and QUESTION not in variables
    asked = [] if consumed and closing else [spoken[last]]
    return [*opening, *spoken[:last], *closing, *asked, *spoken[last + 1 :]]


def told_options(prompt: Prompt, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` of a chat body, with the prompt's schema and stops where they say nothing."""
    told = dict(options)
    if prompt.body.output_schema is not None and told.get("response_format") is None:
        schema = {"name": prompt.name, "schema": prompt.body.output_schema, "strict": True}
        told["response_format"] = {"type": "json_schema", "json_schema": schema}
    if prompt.stop and not told.get("stop"):
        told["stop"] = list(prompt.stop)
    return told


def check_grounded(prompt: Prompt) -> None:
    """Raise InvalidRequest unless a search can fill the prompt."""
    if missing := [name for name in _GROUNDED if name not in prompt.variables]:
        raise InvalidRequest(
            f"The prompt {prompt.version} does not declare {' and '.join(missing)}. With "
            "file_search it must have the variables passages and question.",
            param="prompt",
            code="prompt_not_grounded",
        )


@contextmanager
def prompt_errors() -> Iterator[None]:
    """Tell the client of a prompt that does not render, naming the variable where one is wrong."""
    try:
        yield
    except VariableError as error:
        raise InvalidRequest(
            str(error), param=f"prompt.variables.{error.variable}", code="invalid_prompt_variable"
        ) from error
    except PromptError as error:
        raise InvalidRequest(str(error), param="prompt", code="prompt_not_rendered") from error


def _last_user(messages: list[dict[str, Any]]) -> int | None:
    return next(
        (n for n in range(len(messages) - 1, -1, -1) if messages[n]["role"] == "user"), None
    )


def _text(content: Any) -> str | None:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else None


def _invalid(param: str, said: str) -> InvalidRequest:
    return InvalidRequest(f"{param} {said}.", param=param, code="invalid_value")
