"""Jinja for templates that strangers write: a small part of the language, with a bound on its work.

What can run away is not in the language (macros, recursion, includes, `**`, `namespace`, methods
but a few), and what is left is counted while it runs: each value that an expression makes is
measured, each turn of a loop is a unit of work. Nothing depends on the clock, so that a template
that renders once renders always. A name that begins with an underscore is refused when the template
is read, and Jinja's sandbox refuses it again when it runs. Besides: `join` and `replace` are as in
Jinja but measured before, `tojson` does not escape for HTML, `join` has no `attribute` (`map` has).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from deployments.prompts.errors import PromptError

__all__ = ["MAX_TEMPLATE", "MAX_VALUE", "Template", "compiled", "environment"]

MAX_TEMPLATE: Final = 65_536
"""Characters of one template."""
MAX_VALUE: Final = 1_000_000
"""Characters and items that one value may hold, and characters that a template may render."""
_MAX_WORK: Final = 400_000
"""Units of one rendering: a turn of a loop, an item of a value, 64 characters of one."""
_MAX_NODES: Final = 1_500
"""Texts, names, operations… of one template: what compiling it costs, 0.1 s at the most."""
_MAX_DEPTH: Final = 32
_MAX_BITS: Final = 256
_MAX_INDENT: Final = 16
_RANGE: Final = 10_000
_METHODS: Final = frozenset({
    "capitalize", "cycle", "endswith", "get", "items", "keys", "lower", "lstrip", "rstrip", "split",
    "splitlines", "startswith", "strip", "title", "upper", "values",
})  # fmt: skip
_STATEMENTS: Final = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If)
_EXPRESSIONS: Final = (
    nodes.Assign,
    nodes.Name,
    nodes.Const,
    nodes.Tuple,
    nodes.List,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Call,
    nodes.Getitem,
    nodes.Getattr,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.UnaryExpr,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.And,
    nodes.Or,
)
_MEASURED: Final = (
    nodes.Name,
    nodes.Tuple,
    nodes.List,
    nodes.Dict,
    nodes.Filter,
    nodes.Call,
    nodes.Getitem,
    nodes.Getattr,
    nodes.Concat,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
)
_FILTERS: Final = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse",
    "round", "select", "selectattr", "sort", "string", "title", "trim", "truncate", "unique",
    "upper", "urlencode", "wordcount",
)  # fmt: skip
_TESTS: Final = (
    "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge", "gt",
    "greaterthan", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne",
    "none", "number", "odd", "sameas", "sequence", "string", "true", "undefined", "upper", "==",
    "!=", ">", ">=", "<", "<=",
)  # fmt: skip


class _TooMuch(TemplateError):
    """A rendering that is larger or takes more work than is allowed."""


class _Work:
    """What one rendering has done."""

    def __init__(self) -> None:
        self._left = _MAX_WORK

    def spend(self, units: int) -> None:
        self._left -= units
        if self._left < 0:
            raise _TooMuch(f"it takes more than {_MAX_WORK:,} steps")

    def measured(self, value: Any) -> Any:
        """`value`, with what is lazy made whole. Raises _TooMuch where it is too large."""
        if isinstance(value, Iterator) and not isinstance(value, LoopContext):
            value = list(self.counted(value))
        items, characters = _size(value)
        self.spend(1 + items + characters // 64)
        return value

    def counted(self, values: Any) -> Iterator[Any]:
        """The items of `values`, each of them a unit of work."""
        for value in values:
            self.spend(1)
            yield value


_work: Final[ContextVar[_Work]] = ContextVar("work of the template that is being rendered")


def _size(value: Any) -> tuple[int, int]:
    """How many items `value` holds, to the ground, and how many characters."""
    items = characters = 0
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        items += 1
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, int) and item.bit_length() > _MAX_BITS:
            raise _TooMuch(f"a number has more than {_MAX_BITS} bits")
        elif isinstance(item, Mapping):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += [(part, depth + 1) for part in item]
        if depth > _MAX_DEPTH:
            raise _TooMuch(f"a value is nested more than {_MAX_DEPTH} deep")
        if items + characters + len(waiting) > MAX_VALUE:
            raise _TooMuch(f"a value is larger than {MAX_VALUE:,} characters and items")
    return items, characters


class _Counted:
    """What a loop runs over; it has a length where `values` has one."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return _work.get().counted(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _fits(length: int) -> None:
    if length > MAX_VALUE:
        raise _TooMuch(f"a value is larger than {MAX_VALUE:,} characters and items")


def _join(values: Any, separator: str = "") -> str:
    parts = [str(value) for value in values]
    _fits(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _replace(text: Any, old: str, new: str) -> str:
    told = str(text)
    _fits(len(told) + told.count(old) * len(new))
    return told.replace(old, new)


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    if not 0 <= width <= _MAX_INDENT:
        raise _TooMuch(f"indent takes a width of at most {_MAX_INDENT}")
    _fits(len(text) + (text.count("\n") + 1) * width)
    space = " " * width
    return (space if first else "") + text.replace("\n", f"\n{space}")


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON as a model reads it best: not escaped for HTML, as Jinja's own would."""
    if indent is not None and not 0 <= indent <= _MAX_INDENT:
        raise _TooMuch(f"tojson takes an indent of at most {_MAX_INDENT}")
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _range(*arguments: int) -> range:
    values = range(*arguments)
    if len(values) > _RANGE:
        raise _TooMuch(f"range goes over more than {_RANGE:,} numbers")
    return values


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, without what makes large values at one blow."""

    intercepted_binops = frozenset("*%")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply, or take the rest, of numbers only."""
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise _TooMuch(f"{operator} is for numbers only")
        return SandboxedEnvironment.call_binop(self, context, operator, left, right)


def _make_environment() -> _Environment:
    made = _Environment(
        undefined=StrictUndefined,
        autoescape=False,  # plain text for a model, never HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        optimized=False,  # nothing runs before it is counted
    )
    known: dict[str, Callable[..., Any]] = {name: made.filters[name] for name in _FILTERS}
    known |= {"join": _join, "replace": _replace, "indent": _indent, "tojson": _tojson}
    known |= {
        "measured": lambda value: _work.get().measured(value),
        "counted": lambda value: _Counted(_work.get().measured(value)),
    }
    made.filters = known
    made.tests = {name: made.tests[name] for name in _TESTS}
    made.globals = {"range": _range}
    return made


environment: Final = _make_environment()
"""Reads templates; they are rendered by `Template` alone, which counts."""


@lru_cache(maxsize=256)
def compiled(source: str) -> "Template":
    """The template of a text, compiled once while it is in use. Raises PromptError."""
    return Template(source)


class Template:
    """One text with Jinja in it. Raises PromptError where it is not allowed, with its line."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_TEMPLATE:
            raise PromptError(
                f"a template has {len(source):,} characters; allowed are {MAX_TEMPLATE:,}."
            )
        self.source: Final = source
        try:
            tree = environment.parse(source)
            _check(tree)
            self.variables: Final = frozenset(meta.find_undeclared_variables(tree))
            self.simple: Final = _is_simple(tree)
            """Whether it holds texts and plain variables only."""
            tree = _Measuring().visit(tree)
            tree.set_environment(environment)
            self._template = environment.from_string(tree)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            place = f" (line {line})" if line else ""
            raise PromptError(f"template error: {error.message}{place}.") from error
        except (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError) as error:
            raise PromptError("template error: it is nested too deeply to compile.") from error

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text. Raises PromptError that says why it does not render."""
        work = _Work()
        token = _work.set(work)
        try:
            for value in values.values():
                work.measured(value)
            parts: list[str] = []
            length = 0
            for part in self._template.generate(values):
                length += len(part)
                _fits(length)
                work.spend(1)
                parts.append(part)
            return "".join(parts)
        except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise PromptError(f"does not render: {error}.") from error
        except (LookupError, AttributeError) as error:
            raise PromptError(f"does not render: {type(error).__name__}: {error}.") from error
        finally:
            _work.reset(token)


def _check(tree: nodes.Template) -> None:
    """Raise TemplateError for what the language here does not have."""
    for number, node in enumerate((tree, *tree.find_all(nodes.Node))):
        if number > _MAX_NODES:
            raise _refused(f"it has more than {_MAX_NODES:,} parts", node)
        if isinstance(node, nodes.EvalContextModifier | nodes.Extends) or not isinstance(
            node, (*_STATEMENTS, *_EXPRESSIONS)
        ):
            raise _refused(f"{_spoken(node)} is not part of prompts' Jinja", node)
        if isinstance(node, nodes.For) and node.recursive:
            raise _refused("a recursive loop is not part of prompts' Jinja", node)
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
            raise _refused(f"the attribute {node.attr} is internal", node)
        if isinstance(node, nodes.Name) and (node.name == "self" or node.name.startswith("_")):
            raise _refused(f"the name {node.name} is internal", node)
        if isinstance(node, nodes.Call):
            _check_call(node)


def _check_call(node: nodes.Call) -> None:
    called = node.node
    if isinstance(called, nodes.Name) and called.name == "range":
        return
    if isinstance(called, nodes.Getattr) and called.attr in _METHODS:
        return
    name = getattr(called, "attr", None) or getattr(called, "name", "this")
    raise _refused(
        f"{name}(…) cannot be called; range can, and {', '.join(sorted(_METHODS))}", node
    )


def _spoken(node: nodes.Node) -> str:
    names = {"Pow": "**", "NSRef": "namespace", "AssignBlock": "a set block"}
    kind = type(node).__name__
    return names.get(kind, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower())


def _refused(message: str, node: nodes.Node) -> TemplateError:
    error = TemplateError(message)
    error.lineno = node.lineno  # type: ignore[attr-defined]
    return error


def _is_simple(tree: nodes.Template) -> bool:
    return all(
        isinstance(part, nodes.TemplateData | nodes.Name)
        or (isinstance(part, nodes.Const) and isinstance(part.value, str))
        for output in tree.body
        for part in (output.nodes if isinstance(output, nodes.Output) else [output])
    )


class _Measuring(NodeTransformer):
    """Puts a measure around each value, and a count around what a loop runs over."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        called = node.node if isinstance(node, nodes.Call) else None
        if isinstance(called, nodes.Name):  # `range`: no value of its own
            node.args = [self.visit(argument) for argument in node.args]  # type: ignore[attr-defined]
            return _filtered(node, "measured")
        if isinstance(called, nodes.Getattr):  # a method
            called.node = self.visit(called.node)
            node.args = [self.visit(argument) for argument in node.args]  # type: ignore[attr-defined]
            return _filtered(node, "measured")
        if isinstance(node, nodes.For):
            node.iter = _filtered(node.iter, "counted")
        super().generic_visit(node, *args, **kwargs)
        stored = getattr(node, "ctx", "load") != "load"
        if isinstance(node, nodes.Filter) and node.name == "counted":
            return node
        return _filtered(node, "measured") if isinstance(node, _MEASURED) and not stored else node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
