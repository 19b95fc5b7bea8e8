"""Templates of other languages as Jinja here, and Jinja here as theirs.

- f-string (Python's `str.format`): `{name}` alone; no attributes, indexes, conversions or formats.
- mustache: `{{name}}` and `{{{name}}}`; no sections, partials or dotted names.
- Jinja with its own defaults: here blocks take their line with them (`trim_blocks`,
  `lstrip_blocks`), there they do not, so the whitespace is marked on the way in, and taken out on
  the way back.
"""

import re
from string import Formatter
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes

from deployments.prompts.errors import ExchangeError
from deployments.prompts.sandbox import compiled, environment

__all__ = ["from_f_string", "from_jinja", "from_mustache", "literal", "to_f_string", "to_jinja"]

_NAME: Final = re.compile(r"[A-Za-z]\w*", re.ASCII)
_OPENING: Final = re.compile(r"\{[{%#]")
_MUSTACHE: Final = re.compile(r"\{\{\{(?P<raw>.*?)\}\}\}|\{\{(?P<tag>.*?)\}\}", re.DOTALL)
_PLAIN_JINJA: Final = Environment()  # noqa: S701 - it only cuts templates into tokens
_BEGINS: Final = frozenset({"block_begin", "comment_begin", "raw_begin"})
_ENDS: Final = frozenset({"block_end", "comment_end", "raw_end"})


def literal(text: str, *, before_expression: bool = False) -> str:
    """`text` as a template that renders to it."""
    escaped = _OPENING.sub(lambda found: "{{ '" + found[0] + "' }}", text)
    if before_expression and escaped.endswith("{"):
        escaped = escaped[:-1] + "{{ '{' }}"
    return escaped


def from_f_string(template: str) -> str:
    """Python's format string as Jinja. Raises ExchangeError."""
    parts: list[str] = []
    text = ""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise ExchangeError(f"the f-string template cannot be read: {error}.") from error
    for more, name, form, conversion in pieces:
        text += more  # a doubled brace ends a piece
        if name is None:
            continue
        if not _NAME.fullmatch(name) or form or conversion:
            raise ExchangeError(
                f"the f-string field {{{name}{'!' + conversion if conversion else ''}"
                f"{':' + form if form else ''}}} is more than a name; only {{name}} can be taken "
                "over."
            )
        parts += [literal(text, before_expression=True), "{{ " + name + " }}"]
        text = ""
    return "".join([*parts, literal(text)])


def from_mustache(template: str) -> str:
    """Mustache with plain variables as Jinja. Raises ExchangeError."""
    parts: list[str] = []
    position = 0
    for found in _MUSTACHE.finditer(template):
        name = (found["raw"] or found["tag"] or "").strip()
        if not _NAME.fullmatch(name):
            raise ExchangeError(
                f"the mustache tag {found[0][:64]!r} is more than a variable; only {{{{name}}}} "
                "can be taken over."
            )
        text = literal(template[position : found.start()], before_expression=True)
        parts += [text, "{{ " + name + " }}"]
        position = found.end()
    return "".join([*parts, literal(template[position:])])


def from_jinja(template: str) -> str:
    """Jinja with its own defaults as Jinja here. Raises ExchangeError."""
    parts: list[str] = []
    for kind, value in _tokens(_PLAIN_JINJA, template):
        if kind in _BEGINS and not value.endswith(("-", "+")) and value.startswith("{"):
            value = f"{value[:2]}+{value[2:]}"
        if kind in _ENDS and value[0] not in "-+":
            value = f"+{value}" if not value.startswith("{") else f"{value[:-2]}+{value[-2:]}"
        parts.append(value)
    return "".join(parts)


def to_jinja(template: str) -> str:
    """Jinja here as Jinja with its own defaults, which render the same."""
    parts: list[str] = []
    for kind, value in _tokens(environment, template):
        parts.append(value.rstrip("\n") if kind in _ENDS else value)
    return "".join(parts)


def to_f_string(template: str) -> str | None:
    """Python's format string, where the template holds text and plain variables only."""
    if not compiled(template).simple:
        return None
    parts: list[str] = []
    for part in environment.parse(template).find_all(nodes.Expr):
        if isinstance(part, nodes.Name):
            parts.append("{" + part.name + "}")
        elif isinstance(part, nodes.TemplateData | nodes.Const):
            text = part.data if isinstance(part, nodes.TemplateData) else str(part.value)
            parts.append(text.replace("{", "{{").replace("}", "}}"))
    return "".join(parts)


def _tokens(lexing: Environment, template: str) -> list[tuple[str, str]]:
    try:
        return [(kind, value) for _, kind, value in lexing.lex(template)]
    except TemplateSyntaxError as error:
        raise ExchangeError(f"the Jinja template cannot be read: {error.message}.") from error
