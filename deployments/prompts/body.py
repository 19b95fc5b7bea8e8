"""What a version of a prompt says: the part that its digest stands for."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from deployments.prompts.errors import PromptError
from deployments.prompts.sandbox import MAX_TEMPLATE, compiled
from deployments.prompts.variables import NAME, Variable
from deployments.storable import Count, tree

__all__ = ["Example", "Message", "PromptBody", "Step", "Text", "digest_of", "whole_value"]

_MAX_MESSAGES: Final = 64
_MAX_EXAMPLES: Final = 64
_MAX_STEPS: Final = 8
_WHOLE: Final = re.compile(r"\s*\{\{\s*([A-Za-z]\w*)((?:\.[A-Za-z]\w*)*)\s*\}\}\s*", re.ASCII)


def _template(text: str) -> str:
    try:
        compiled(text)
    except PromptError as error:
        raise ValueError(error.message) from error
    return text


def _listed(value: Any) -> Any:
    """Names alone stand for variables of any type."""
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        return value
    return {name: {"type": "any"} for name in value}


Text = Annotated[str, Field(max_length=MAX_TEMPLATE)]
Jinja = Annotated[Text, AfterValidator(_template)]
Name = Annotated[str, Field(pattern=NAME)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Message(_Part):
    """A message; its content is a Jinja template."""

    role: Literal["system", "user", "assistant"]
    content: Jinja


class Example(_Part):
    """What a user might say and what the model should; plain text, no template."""

    user: Text
    assistant: Text


class Step(_Part):
    """A call of a further prompt, before the messages are rendered."""

    name: Name
    """Of the variable that its output becomes."""
    prompt: Annotated[str, Field(min_length=1, max_length=128)]
    """`name`, `name@number`, `name@label` or `name@digest`; pinned when the version is made."""
    variables: dict[Name, Any] = Field(default_factory=dict, max_length=64)
    """Of the further prompt. Strings are templates over this prompt's variables and the outputs of
    earlier steps; one that is `{{ name }}` alone gives the value itself, of whatever type."""
    output: Literal["text", "json"] | None = None
    """What its answer is read as; by default JSON where its prompt has an output schema."""
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Model, adapter or alias; by default what answers the request."""
    max_tokens: Count | None = None
    """Of its answer; by default `grounding.answer_tokens`."""


class PromptBody(_Part):
    """One version's messages, variables, examples, output schema, stops, refusal and steps."""

    messages: tuple[Message, ...] = Field(min_length=1, max_length=_MAX_MESSAGES)
    """In order. The conversation's earlier turns come before the last one, where that is the
    user's, else after all."""
    variables: Annotated[dict[Name, Variable], BeforeValidator(_listed)] = Field(
        default_factory=dict, max_length=64
    )
    """By name. `question` is filled from the last user message where the client does not say."""
    examples: tuple[Example, ...] = Field(default=(), max_length=_MAX_EXAMPLES)
    """Turns that stand after the first system messages."""
    output_schema: dict[str, Any] | None = None
    """JSON schema of the answer, enforced by the engine unless the client asks for another form."""
    stop: tuple[Annotated[Text, Field(min_length=1, max_length=256)], ...] = Field(
        default=(), max_length=4
    )
    """Where the model is stopped unless the client says otherwise."""
    refusal: Text | None = None
    """Said instead of asking the model, where passages are searched and none supports an answer."""
    steps: tuple[Step, ...] = Field(default=(), max_length=_MAX_STEPS)
    """Run in order before the messages are rendered."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        return tree(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _declared(self) -> Self:
        """Every variable that a template uses is declared, or the output of an earlier step."""
        known = set(self.variables)
        for number, step in enumerate(self.steps):
            for name, value in step.variables.items():
                if isinstance(value, str):
                    place = f"steps.{number}.variables.{name}"
                    _all_known(place, _template(value), known)
            if step.name in known:
                raise ValueError(f"steps.{number}.name is {step.name!r}, which there is already")
            known.add(step.name)
        for number, message in enumerate(self.messages):
            _all_known(f"messages.{number}.content", message.content, known)
        if self.output_schema is not None:
            _check_schema(self.output_schema)
        return self

    def to_json(self) -> dict[str, Any]:
        """Make the record's column: what is not the default."""
        return self.model_dump(mode="json", exclude_defaults=True)


def digest_of(body: PromptBody) -> str:
    """Twelve characters that depend on the body's content alone."""
    canonical = json.dumps(
        body.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def whole_value(template: str, values: Mapping[str, Any]) -> tuple[bool, Any]:
    """Whether `template` is one name (`{{ a.b }}`) that there is, and its value as it is."""
    found = _WHOLE.fullmatch(template)
    if found is None or found[1] not in values:
        return False, None
    value = values[found[1]]
    for key in filter(None, found[2].split(".")):
        if not isinstance(value, Mapping) or key not in value:
            return False, None
        value = value[key]
    return True, value


def _all_known(place: str, template: str, known: set[str]) -> None:
    if unknown := sorted(compiled(template).variables - known):
        raise ValueError(
            f"{place} uses {', '.join(unknown)} without declaring it; list it under `variables`"
        )


def _check_schema(schema: Mapping[str, Any]) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(["output_schema", *(str(part) for part in error.absolute_path)])
        raise ValueError(f"{place} is no JSON schema: {error.message[:200]}") from error
