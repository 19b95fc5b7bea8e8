"""Import and export of prompts: which format a text is in, and what it says."""

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, Literal

import yaml

from deployments.prompts.body import PromptBody
from deployments.prompts.errors import ExchangeError, PromptError
from deployments.prompts.exchange.langchain import from_langchain, is_langchain, to_langchain
from deployments.prompts.exchange.templates import literal
from deployments.prompts.library import read_prompt_file, read_yaml
from deployments.prompts.sandbox import compiled

__all__ = ["Export", "Import", "Read", "export_prompt", "import_prompt"]

Import = Literal["auto", "everloop", "langchain", "jinja", "text"]
Export = Literal["everloop", "langchain", "jinja"]
_PLAIN: Final = frozenset({".txt", ".md", ".j2", ".jinja", ".jinja2"})


@dataclass(frozen=True, slots=True)
class Read:
    """A prompt that was read."""

    body: PromptBody
    name: str | None = None
    """As the text says it."""
    description: str = ""


def import_prompt(content: str, form: Import = "auto", filename: str = "") -> Read:
    """Read a prompt.

    `jinja` and `text` are one user message: a template whose variables are strings, and a text that
    stays as it is. `auto` goes by the content, then by the name of the file. Raises ExchangeError
    that says what cannot be read or said here.
    """
    value = _loaded(content)
    if form == "auto":
        form = _recognised(value, filename)
    if form == "langchain":
        if not isinstance(value, dict) or not is_langchain(value):
            raise ExchangeError("it is no prompt of LangChain: it has neither `lc` nor `_type`.")
        return Read(from_langchain(value))
    if form == "everloop":
        try:
            found = read_prompt_file(content, "The prompt")
        except PromptError as error:
            raise ExchangeError(error.message) from error
        return Read(found.body, found.name, found.description)
    text = literal(content) if form == "text" else content
    try:
        names = sorted(compiled(text).variables)
        variables: dict[str, Any] = {name: {} for name in names}
        said = {"messages": [{"role": "user", "content": text}], "variables": variables}
        return Read(PromptBody.model_validate(said))
    except (PromptError, ValueError) as error:
        raise ExchangeError(f"it makes no prompt: {error}") from error


def export_prompt(name: str, description: str, body: PromptBody, form: Export) -> str:
    """Write a prompt. Raises ExchangeError for what the format cannot say."""
    if form == "langchain":
        return json.dumps(to_langchain(body), indent=2, ensure_ascii=False) + "\n"
    if form == "everloop":
        said = {"name": name, "description": description, **body.to_json()}
        return yaml.dump(said, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    plain = {"messages", "variables"}
    others = [key for key in body.to_json() if key not in plain]
    if len(body.messages) != 1 or body.messages[0].role != "user" or others:
        what = ", ".join(others) or "other messages than the user's one"
        raise ExchangeError(f"it has {what}, which a plain template has no place for.")
    typed = [
        n for n, variable in body.variables.items() if variable.model_dump(exclude_defaults=True)
    ]
    if typed:
        raise ExchangeError(
            f"its variables {', '.join(typed)} have types or defaults, which a plain template has "
            "no place for."
        )
    return body.messages[0].content


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value.strip() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _loaded(content: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        pass
    try:
        return read_yaml(content)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _recognised(value: Any, filename: str) -> Import:
    if is_langchain(value):
        return "langchain"
    suffix = PurePath(filename).suffix.lower()
    if suffix in _PLAIN:
        return "jinja"
    if isinstance(value, dict) and "messages" in value:
        return "everloop"
    if suffix in {".yaml", ".yml", ".json"}:
        raise ExchangeError(
            f"{filename[-64:]} is neither a prompt of Everloop (it has no `messages`) nor one of "
            "LangChain."
        )
    return "jinja"
