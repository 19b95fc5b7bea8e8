"""LangChain's prompts: what `langchain_core.load.dumps` writes, and the files of `load_prompt`.

A serialised object is `{"lc": 1, "type": "constructor", "id": [..., CLASS], "kwargs": {...}}`. A
prompt here has one place for the conversation's earlier turns, before its last user message; so
has a `MessagesPlaceholder` that is taken over. What LangChain has no field for stands under
`metadata.everloop`, where an import finds it again.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from deployments.prompts.body import PromptBody
from deployments.prompts.errors import ExchangeError, PromptError
from deployments.prompts.exchange.templates import (
    from_f_string,
    from_jinja,
    from_mustache,
    literal,
    to_f_string,
    to_jinja,
)
from deployments.prompts.sandbox import Template, compiled

__all__ = ["from_langchain", "is_langchain", "to_langchain"]

_READERS: Final = {"f-string": from_f_string, "jinja2": from_jinja, "mustache": from_mustache}
_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
}
_TEMPLATES: Final = {
    "SystemMessagePromptTemplate": "system",
    "HumanMessagePromptTemplate": "user",
    "AIMessagePromptTemplate": "assistant",
}
_MESSAGES: Final = {"SystemMessage": "system", "HumanMessage": "user", "AIMessage": "assistant"}
_CHATS: Final = frozenset({"ChatPromptTemplate", "StructuredPrompt"})
_HISTORY: Final = "history"
_TOLD_BY_NAME: Final = frozenset(
    {"input_variables", "optional_variables", "input_types", "validate_template", "tags", "name"}
)
"""Follow from the templates, or say nothing about what the model is told."""
_OURS: Final = "everloop"

Object = Mapping[str, Any]


def is_langchain(value: Any) -> bool:
    """Whether parsed JSON or YAML is one of LangChain's."""
    return isinstance(value, dict) and ("lc" in value or "_type" in value)


def from_langchain(value: Object) -> PromptBody:
    """Read it. Raises ExchangeError that says what cannot be said here, and why."""
    made = _Import()
    if "_type" in value:
        made.read_file(value)
    else:
        made.read(value)
    return made.body()


class _Import:
    """A prompt as it is being read."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._variables: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._schema: dict[str, Any] | None = None
        self._turns_at: int | None = None

    def body(self) -> PromptBody:
        """All that was read, as a version's body."""
        if self._turns_at is not None:
            last_is_user = bool(self._messages) and self._messages[-1]["role"] == "user"
            if self._turns_at != len(self._messages) - last_is_user:
                raise ExchangeError(
                    "its MessagesPlaceholder stands elsewhere than before the last user message, "
                    "which is where a prompt here has the earlier turns."
                )
        said: dict[str, Any] = {"messages": self._messages, **self._kept}
        said |= {} if self._schema is None else {"output_schema": self._schema}
        used: set[str] = set()
        try:
            for message in self._messages:
                used |= compiled(message["content"]).variables
            variables = {name: {} for name in sorted(used)} | self._variables
            return PromptBody.model_validate({**said, "variables": variables})
        except ValidationError as error:
            raise ExchangeError(f"it makes no prompt: {error.errors()[0]['msg']}.") from error
        except PromptError as error:
            raise ExchangeError(f"it makes no prompt: {error.message}") from error

    def read(self, value: Object) -> None:
        """Read a serialised object."""
        kind, kwargs = _constructed(value)
        if kind in _CHATS:
            self._read_chat(kind, kwargs)
        elif kind == "PromptTemplate":
            self._add("user", self._template(kwargs))
        elif kind.startswith("Runnable"):
            raise ExchangeError(f"it is a {kind}, not a prompt: export the prompt in it alone.")
        else:
            raise ExchangeError(f"the class {kind} is none that can be taken over.")

    def read_file(self, value: Object) -> None:
        """Read what `load_prompt` reads."""
        kind = value["_type"]
        fields = {name: field for name, field in value.items() if name != "_type"}
        for path in ("template_path", "prefix_path", "suffix_path", "example_prompt_path"):
            if fields.get(path):
                raise ExchangeError(f"it points to another file ({path}); put the text in place.")
        if kind == "prompt":
            self._add("user", self._template(fields))
        elif kind == "few_shot":
            self._read_few_shot(fields)
        else:
            raise ExchangeError(f"its _type is {kind!r}; prompt and few_shot can be taken over.")

    def _read_chat(self, kind: str, kwargs: Object) -> None:
        known = {"messages", "partial_variables", "metadata", "output_parser", "template_format"}
        if kind == "StructuredPrompt":
            known |= {"schema_", "structured_output_kwargs"}
            self._read_schema(kwargs)
        _refuse_unknown(kind, kwargs, known)
        ours = (kwargs.get("metadata") or {}).get(_OURS)
        if isinstance(ours, dict):
            self._kept = {key: ours[key] for key in ("stop", "refusal") if key in ours}
            self._variables |= ours.get("variables") or {}
        self._read_partials(kwargs)
        for message in kwargs.get("messages") or []:
            self._read_message(message)

    def _read_schema(self, kwargs: Object) -> None:
        if kwargs.get("structured_output_kwargs"):
            raise ExchangeError("structured_output_kwargs have no place in a prompt here.")
        schema = kwargs.get("schema_")
        if not isinstance(schema, dict):
            raise ExchangeError("schema_ of the StructuredPrompt is no JSON schema.")
        self._schema = schema.get("parameters", schema)

    def _read_partials(self, kwargs: Object) -> None:
        for name, value in (kwargs.get("partial_variables") or {}).items():
            if isinstance(value, list) and not value:
                continue  # an optional placeholder without turns
            if not isinstance(value, str):
                raise ExchangeError(f"partial_variables.{name} is no text.")
            self._variables.setdefault(name, {"default": value})

    def _read_message(self, value: Any) -> None:
        kind, kwargs = _constructed(value)
        if kind == "MessagesPlaceholder":
            if self._turns_at is not None:
                raise ExchangeError("it has more than one MessagesPlaceholder.")
            if kwargs.get("n_messages"):
                raise ExchangeError("n_messages of a MessagesPlaceholder has no place here.")
            self._turns_at = len(self._messages)
        elif kind in _TEMPLATES or kind == "ChatMessagePromptTemplate":
            role = _TEMPLATES.get(kind) or _role(kwargs.get("role"))
            _refuse_unknown(kind, kwargs, {"prompt", "role", "additional_kwargs"})
            self._add(role, self._parts(kwargs.get("prompt")))
        elif kind in _MESSAGES or kind == "ChatMessage":
            content = kwargs.get("content")
            if not isinstance(content, str):
                raise ExchangeError(f"a {kind} has content that is no text.")
            self._add(_MESSAGES.get(kind) or _role(kwargs.get("role")), literal(content))
        else:
            raise ExchangeError(f"messages of the class {kind} cannot be taken over.")

    def _parts(self, value: Any) -> str:
        """A message's template; several are parts of one text."""
        parts = value if isinstance(value, list) else [value]
        texts = []
        for part in parts:
            kind, kwargs = _constructed(part)
            if kind != "PromptTemplate":
                raise ExchangeError(f"a message holds a {kind}; only text can be taken over.")
            texts.append(self._template(kwargs))
        return "\n".join(texts)

    def _template(self, fields: Object) -> str:
        known = {"template", "template_format", "partial_variables", "output_parser", "metadata"}
        _refuse_unknown("PromptTemplate", fields, known)
        self._read_partials(fields)
        return _converted(fields.get("template"), fields)

    def _read_few_shot(self, fields: Object) -> None:
        known = {"prefix", "suffix", "examples", "example_prompt", "example_separator"}
        known |= {"template_format", "partial_variables", "output_parser", "metadata"}
        _refuse_unknown("few_shot", fields, known)
        examples, shape = fields.get("examples"), fields.get("example_prompt")
        if not isinstance(examples, list) or not isinstance(shape, dict):
            raise ExchangeError(
                "its examples or its example_prompt stand elsewhere; put them in place."
            )
        self._read_partials(fields)
        template = _compiled(_converted(shape.get("template"), shape))
        texts = [_converted(fields.get("prefix") or "", fields)]
        try:
            texts += [literal(template.render(example)) for example in examples]
        except PromptError as error:
            raise ExchangeError(f"an example of it {error.message}") from error
        texts += [_converted(fields.get("suffix") or "", fields)]
        separator = literal(str(fields.get("example_separator", "\n\n")))
        self._add("user", separator.join(text for text in texts if text))

    def _add(self, role: str, content: str) -> None:
        self._messages.append({"role": role, "content": content})


def to_langchain(body: PromptBody) -> dict[str, Any]:
    """Write it. Raises ExchangeError for what LangChain would do otherwise, and why."""
    if body.steps:
        raise ExchangeError(
            "it has steps, which a LangChain prompt has no place for: export the prompts that they "
            "call."
        )
    messages: list[dict[str, Any]] = []
    systems = next((n for n, m in enumerate(body.messages) if m.role != "system"), None)
    for number, message in enumerate(body.messages):
        if number == systems:
            messages += _examples(body)
        if number == len(body.messages) - 1 and message.role == "user":
            messages.append(_placeholder())
        messages.append(_message(message.role, message.content))
    if systems is None:
        messages += _examples(body)
    if body.messages[-1].role != "user":
        messages.append(_placeholder())
    defaults = {
        name: variable.absent
        for name, variable in body.variables.items()
        if not variable.needed and isinstance(variable.absent, str)
    }
    ours = body.model_dump(
        mode="json", include={"variables", "stop", "refusal"}, exclude_unset=True
    )
    kwargs: dict[str, Any] = {
        "input_variables": [name for name in body.variables if name not in defaults],
        "optional_variables": [_HISTORY],
        "partial_variables": {_HISTORY: [], **defaults},
        "messages": messages,
        "metadata": {_OURS: ours},
    }
    if body.output_schema is None:
        return _object(["langchain", "prompts", "chat", "ChatPromptTemplate"], kwargs)
    kwargs["schema_"] = body.output_schema
    return _object(["langchain_core", "prompts", "structured", "StructuredPrompt"], kwargs)


def _examples(body: PromptBody) -> list[dict[str, Any]]:
    return [
        _object(["langchain", "schema", "messages", kind], {"content": text, "type": name})
        for example in body.examples
        for kind, name, text in (
            ("HumanMessage", "human", example.user),
            ("AIMessage", "ai", example.assistant),
        )
    ]


def _message(role: str, content: str) -> dict[str, Any]:
    kind = next(kind for kind, ours in _TEMPLATES.items() if ours == role)
    simple = to_f_string(content)
    template = {
        "input_variables": sorted(compiled(content).variables),
        "template": to_jinja(content) if simple is None else simple,
        "template_format": "jinja2" if simple is None else "f-string",
    }
    prompt = _object(["langchain", "prompts", "prompt", "PromptTemplate"], template)
    return _object(["langchain", "prompts", "chat", kind], {"prompt": prompt})


def _placeholder() -> dict[str, Any]:
    kwargs = {"variable_name": _HISTORY, "optional": True}
    return _object(["langchain", "prompts", "chat", "MessagesPlaceholder"], kwargs)


def _object(path: list[str], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


def _constructed(value: Any) -> tuple[str, Object]:
    """The class and the arguments of a serialised object."""
    path = value.get("id") if isinstance(value, dict) else None
    if not isinstance(path, list) or not path:
        raise ExchangeError(f"{json.dumps(value)[:80]} is no serialised object of LangChain.")
    kind = str(path[-1])
    if value.get("type") != "constructor":
        raise ExchangeError(f"the class {kind} was not serialised by LangChain itself.")
    kwargs = value.get("kwargs")
    if not isinstance(kwargs, dict):
        raise ExchangeError(f"the object of the class {kind} has no kwargs.")
    return kind, kwargs


def _converted(template: Any, fields: Object) -> str:
    form = fields.get("template_format", "f-string")
    if not isinstance(template, str):
        raise ExchangeError("a template is no text.")
    if form not in _READERS:
        raise ExchangeError(
            f"template_format is {str(form)[:40]!r}; there are {', '.join(_READERS)}."
        )
    return _READERS[form](template)


def _compiled(template: str) -> Template:
    try:
        return compiled(template)
    except PromptError as error:
        raise ExchangeError(error.message) from error


def _refuse_unknown(kind: str, kwargs: Object, known: set[str]) -> None:
    for name, value in kwargs.items():
        if value and name not in known | _TOLD_BY_NAME:
            raise ExchangeError(f"{name} of the {kind} has no place in a prompt here.")
    if kwargs.get("output_parser"):
        raise ExchangeError(f"output_parser of the {kind} has no place in a prompt here.")


def _role(name: Any) -> str:
    role = _ROLES.get(str(name).lower())
    if role is None:
        raise ExchangeError(
            f"a message has the role {str(name)[:40]!r}; there are {', '.join(_ROLES)}."
        )
    return role
