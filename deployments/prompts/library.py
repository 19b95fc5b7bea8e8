"""Prompts in files: YAML with Jinja in the message contents, rendered in a sandbox.

A version is `name@hash` of the file's bytes, so that a trace names exactly what the model was told.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import Field, ValidationError

from deployments.prompts.body import PromptBody
from deployments.prompts.errors import PromptError
from deployments.prompts.prompt import Prompt

__all__ = ["PROMPTS", "PromptFile", "PromptLibrary", "read_prompt_file", "read_yaml"]

PROMPTS: Final = Path(__file__).parent
"""The prompt files that come with Everloop."""


class PromptFile(PromptBody):
    """A prompt as a file says it: a version's body, and whose it is."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    description: str = Field(default="", max_length=4096)

    @property
    def body(self) -> PromptBody:
        """What is said, without the name."""
        said = self.model_dump(exclude={"name", "description"}, exclude_unset=True)
        return PromptBody.model_validate(said)


class PromptLibrary:
    """The prompt files of one or more folders; a name in a later folder hides an earlier one."""

    def __init__(self, folders: Iterable[Path] = (PROMPTS,)) -> None:
        self._folders: Final = tuple(folders)

    @cached_property
    def _prompts(self) -> dict[str, Prompt]:
        prompts: dict[str, Prompt] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*.yaml")):
                text = _read(path)
                found = read_prompt_file(text, f"Prompt file {path}")
                if found.name != path.stem:
                    raise PromptError(f"Prompt file {path} calls itself {found.name!r}.")
                if found.steps:
                    raise PromptError(
                        f"Prompt file {path} has steps.",
                        fix="A chain belongs into the registry: `everloop prompts push FILE`.",
                    )
                digest = hashlib.sha256(text.encode()).hexdigest()[:12]
                prompts[found.name] = Prompt(found.name, found.body, digest)
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


def read_prompt_file(text: str, what: str) -> PromptFile:
    """Read a prompt's YAML. Raises PromptError that begins with `what` and names each field."""
    try:
        return PromptFile.model_validate(read_yaml(text))
    except yaml.YAMLError as error:
        raise PromptError(f"{what} is not YAML: {error}.") from error
    except RecursionError as error:
        raise PromptError(f"{what} is nested too deeply.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors()
        )
        raise PromptError(f"{what} is malformed: {problems}.") from error


def read_yaml(text: str) -> Any:
    """Plain YAML. Aliases are refused: a few of them unfold to more than fits into memory.

    Raises yaml.YAMLError, RecursionError, and ValueError for a date that there is not.
    """
    return yaml.load(text, _Loader)  # noqa: S506 - it is a SafeLoader


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="aliases are not read here")
        return super().compose_node(parent, index)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"Prompt file {path} cannot be read: {error}.") from error
