"""Templates: `{{item.a.b}}` and `{{sample.output_text}}` in a text, filled in for a case.

As in OpenAI's graders. A name that is not there is an error, never an empty text: a score over
nothing looks like a score.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Final

from cluster.errors import EverloopError
from deployments.evaluation.cases import Case, Sample

__all__ = ["Template", "TemplateError", "filled", "names_in"]

_PLACEHOLDER: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH: Final = re.compile(r"(?:item|sample)(?:\.[^\s.\[\]{}]+|\[\d{1,6}\])*")
_STEP: Final = re.compile(r"\.([^\s.\[\]{}]+)|\[(\d+)\]")
_SAMPLE_NAMES: Final = tuple(field.name for field in fields(Sample))
_SHOWN: Final = 12

Step = str | int


class TemplateError(EverloopError):
    """A template is not well formed, or names what is not there."""


class Template:
    """A text with placeholders. Raises TemplateError for one that can never be filled in."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[str | tuple[Step, ...]] = []
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            self._parts += [text[end : found.start()], _path(found[1].strip())]
            end = found.end()
        self._parts.append(text[end:])

    @property
    def paths(self) -> tuple[tuple[Step, ...], ...]:
        """What it names, as steps: `("item", "a", 0)`."""
        return tuple(part for part in self._parts if isinstance(part, tuple))

    def render(self, case: Case) -> str:
        """Fill it in. Values that are not text become JSON. Raises TemplateError."""
        return "".join(
            part if isinstance(part, str) else _as_text(_look_up(part, case))
            for part in self._parts
        )

    def value(self, case: Case) -> Any:
        """The value itself where it is one placeholder and nothing else; else the text."""
        paths = self.paths
        if len(paths) == 1 and not any(p.strip() for p in self._parts if isinstance(p, str)):
            return _plain(_look_up(paths[0], case))
        return self.render(case)


def filled(value: Any, case: Case) -> Any:
    """A JSON value with every text in it taken as a template. Raises TemplateError."""
    return _mapped(value, lambda text: Template(text).value(case))


def names_in(value: Any) -> list[tuple[Step, ...]]:
    """Every path that the templates in a JSON value name. Raises TemplateError."""
    found: list[tuple[Step, ...]] = []

    def note(text: str) -> str:
        found.extend(Template(text).paths)
        return text

    _mapped(value, note)
    return found


def _mapped(value: Any, change: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, change) for item in value]
    return value


def _path(expression: str) -> tuple[Step, ...]:
    if not _PATH.fullmatch(expression):
        raise TemplateError(
            f"The template has {{{{{expression[:80]}}}}}, which names nothing.",
            fix="Allowed are names such as {{item.question}}, {{item.tags[0]}} and "
            "{{sample.output_text}}.",
        )
    root = re.split(r"[.\[]", expression, maxsplit=1)[0]
    steps = [_step(name, index) for name, index in _STEP.findall(expression)]
    path = (root, *steps)
    if root == "sample" and steps and steps[0] not in _SAMPLE_NAMES:
        raise _missing(path, 1, _SAMPLE_NAMES)
    return path


def _step(name: str, index: str) -> Step:
    return int(index) if index else name


def _look_up(path: tuple[Step, ...], case: Case) -> Any:
    if path[0] == "item":
        value: Any = case.item
    elif case.sample is None:
        raise TemplateError(
            f"The template names {_spelled(path)}, and the item has no answer.",
            fix="Give the run a model, or a `sample` beside the `item`.",
        )
    else:
        value = case.sample
    for position, step in enumerate(path[1:], start=1):
        value = _descend(value, step, path, position)
    return value


def _descend(value: Any, step: Step, path: tuple[Step, ...], position: int) -> Any:
    if isinstance(value, Sample) and isinstance(step, str):
        return getattr(value, step)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        if isinstance(step, str) and step in value:
            return value[step]
        raise _missing(path, position, value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        index = int(step) if isinstance(step, int) or step.isdecimal() else -1
        if 0 <= index < len(value):
            return value[index]
        raise _missing(path, position, [f"0 to {len(value) - 1}"] if value else [])
    raise _missing(path, position, ())


def _missing(path: tuple[Step, ...], position: int, known: Any) -> TemplateError:
    names = [str(name) for name in known]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return TemplateError(
        f"The template names {_spelled(path)}, and there is no {_spelled(path[: position + 1])}.",
        fix=f"{_spelled(path[:position])} has: {shown or 'nothing'}.",
    )


def _spelled(path: Sequence[Step]) -> str:
    return "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" if index else step
        for index, step in enumerate(path)
    )


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(_plain(value), ensure_ascii=False, default=_plain)
