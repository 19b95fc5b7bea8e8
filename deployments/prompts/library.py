"""Prompts in files: YAML with Jinja in the message contents, rendered in a sandbox.

A version is `name@hash` of the file's bytes, so that a trace names exactly what the model was told.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.prompts.errors import PromptError

__all__ = ["PROMPTS", "Prompt", "PromptLibrary"]

PROMPTS: Final = Path(__file__).parent
"""The prompt files that come with Everloop."""

_environment: Final = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    autoescape=False,  # plain text for a model, never HTML
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=False,
)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class _PromptFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    description: str
    variables: tuple[str, ...]
    messages: tuple[_Message, ...] = Field(min_length=1)
    refusal: str | None = None
    stop: tuple[str, ...] = ()


class Prompt:
    """One prompt file, ready to render."""

    def __init__(self, path: Path, text: str) -> None:
        self._file = _parse(path, text)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.name: Final = self._file.name
        self.version: Final = f"{self.name}@{digest}"
        self.variables: Final = self._file.variables
        self.refusal: Final = self._file.refusal
        """What is answered when nothing supports an answer; None where the prompt has none."""
        self.stop: Final = self._file.stop
        """Where the model is stopped unless the client says otherwise."""
        self._templates = [(m.role, _compile(path, m.content)) for m in self._file.messages]
        self._check_variables(path)

    def render(self, **variables: object) -> list[dict[str, str]]:
        """Return the chat messages. Raises PromptError naming each variable missing or extra."""
        missing = [name for name in self.variables if name not in variables]
        extra = [name for name in variables if name not in self.variables]
        if missing or extra:
            problems = [f"{', '.join(missing)} missing"] if missing else []
            problems += [f"{', '.join(extra)} unknown"] if extra else []
            raise PromptError(
                f"Prompt {self.version}: {'; '.join(problems)}.",
                fix=f"Its variables are {', '.join(self.variables)}.",
            )
        try:
            return [
                {"role": role, "content": template.render(**variables).strip()}
                for role, template in self._templates
            ]
        except (TemplateError, TypeError, ValueError) as error:
            raise PromptError(f"Prompt {self.version} does not render: {error}.") from error

    def _check_variables(self, path: Path) -> None:
        used: set[str] = set()
        for message in self._file.messages:
            used |= meta.find_undeclared_variables(_environment.parse(message.content))
        if undeclared := sorted(used - set(self.variables)):
            raise PromptError(
                f"Prompt file {path} uses {', '.join(undeclared)} without declaring it.",
                fix="List every variable under `variables`.",
            )


class PromptLibrary:
    """The prompt files of one or more folders; a name in a later folder hides an earlier one."""

    def __init__(self, folders: Iterable[Path] = (PROMPTS,)) -> None:
        self._folders: Final = tuple(folders)

    @cached_property
    def _prompts(self) -> dict[str, Prompt]:
        prompts: dict[str, Prompt] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*.yaml")):
                prompt = Prompt(path, _read(path))
                if prompt.name != path.stem:
                    raise PromptError(f"Prompt file {path} calls itself {prompt.name!r}.")
                prompts[prompt.name] = prompt
        return prompts

    def get(self, name: str) -> Prompt:
        """Return the prompt `name`. Raises PromptError that lists the names there are."""
        try:
            return self._prompts[name]
        except KeyError:
            raise PromptError(
                f"There is no prompt {name!r}.", fix=f"There are: {', '.join(self._prompts)}."
            ) from None

    def names(self) -> list[str]:
        """Every prompt's name, in order."""
        return sorted(self._prompts)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"Prompt file {path} cannot be read: {error}.") from error


def _parse(path: Path, text: str) -> _PromptFile:
    try:
        loaded: Any = yaml.safe_load(text)
        return _PromptFile.model_validate(loaded)
    except yaml.YAMLError as error:
        raise PromptError(f"Prompt file {path} is not YAML: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors()
        )
        raise PromptError(f"Prompt file {path} is malformed: {problems}.") from error


def _compile(path: Path, content: str) -> Template:
    try:
        return _environment.from_string(content)
    except TemplateError as error:
        raise PromptError(f"Prompt file {path} has a template error: {error}.") from error
