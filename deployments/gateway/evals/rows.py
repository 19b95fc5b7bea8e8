"""The data of a run, read to its end and checked against the eval's schema before it is queued."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Final

from pydantic import ValidationError

from deployments.errors import InvalidDataset, InvalidRequest
from deployments.evaluation.runs.samples import GivenSample
from deployments.gateway.bodies import tree
from deployments.json_schemas import SchemaFault, bounded_validator

__all__ = ["Row", "Rows", "check_schema", "lines_of", "read_rows"]

_LISTED: Final = 1000
_TOLD: Final = 3
_PER_LINE: Final = 5
_MAX_LINE: Final = 4 * 1024**2
_MESSAGE: Final = 300


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", {self.field}" if self.field else "")
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Row:
    """An item, and the answer that the data gives to it."""

    item: dict[str, Any]
    sample: dict[str, Any] | None = None


@dataclass(slots=True)
class Rows:
    """What was read."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more_problems: int = 0

    def add_problem(self, problem: Problem) -> None:
        """List it, or count it where there are too many."""
        if len(self.problems) < _LISTED:
            self.problems.append(problem)
        else:
            self.more_problems += 1

    def checked(self, param: str) -> list[Row]:
        """The rows. Raises InvalidDataset that lists every problem, and where there are none."""
        count = len(self.problems) + self.more_problems
        if count:
            told = [str(problem).rstrip(".") for problem in self.problems[:_TOLD]]
            if count > _TOLD:
                told.append(f"and {count - _TOLD} more, listed in error.problems")
            raise InvalidDataset(
                f"The data has {count} problem{'' if count == 1 else 's'}: {'; '.join(told)}.",
                [asdict(problem) for problem in self.problems],
                self.more_problems,
                param=param,
                code="invalid_eval_data",
            )
        if not self.rows:
            raise InvalidRequest("The data holds no items.", param=param, code="no_items")
        return self.rows


def check_schema(schema: Mapping[str, Any], param: str) -> None:
    """Raise InvalidRequest unless `schema` is a JSON schema that needs nothing from elsewhere."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join([param, *(str(part) for part in error.absolute_path)])
        raise InvalidRequest(
            f"{place} is no JSON schema: {error.message[:_MESSAGE]}.",
            param=place,
            code="invalid_schema",
        ) from error
    try:
        bounded_validator(schema, Draft202012Validator)
    except SchemaFault as fault:
        raise InvalidRequest(f"{param}: {fault}.", param=param, code="invalid_schema") from None
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise InvalidRequest(
                f"{param} refers to {reference[:128]!r}; only parts of itself, '#/…', are allowed.",
                param=param,
                code="invalid_schema",
            )


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in {"$ref", "$dynamicRef"} and isinstance(inner, str):
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def lines_of(file: BinaryIO, max_bytes: int, param: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers. Raises InvalidRequest for large ones."""
    read = 0
    for number in range(1, 2**31):
        line = file.readline(_MAX_LINE + 1)
        if not line:
            return
        read += len(line)
        if len(line) > _MAX_LINE or read > max_bytes:
            limit = _MAX_LINE if len(line) > _MAX_LINE else max_bytes
            what = f"Line {number}" if len(line) > _MAX_LINE else "The file"
            raise InvalidRequest(
                f"{what} is larger than the {limit} bytes allowed here.",
                param=param,
                code="data_too_large",
            )
        if line.strip():
            yield number, line


def read_rows(
    lines: Iterable[tuple[int, bytes | Mapping[str, Any]]],
    schema: Mapping[str, Any] | None,
    *,
    max_items: int,
    param: str,
) -> Rows:
    """Read every line. Raises InvalidRequest where there are more than `max_items`. Blocking."""
    found = Rows()
    validator = _validator(schema) if schema is not None else None
    for count, (number, line) in enumerate(lines, start=1):
        if count > max_items:
            raise InvalidRequest(
                f"The data has more than the {max_items} items allowed (evaluation.max_items).",
                param=param,
                code="too_many_items",
            )
        row = _row(number, line, found)
        if row is None:
            continue
        if validator is not None:
            for problem in _item_problems(validator, number, row.item):
                found.add_problem(problem)
        found.rows.append(row)
    return found


def _row(number: int, line: bytes | Mapping[str, Any], found: Rows) -> Row | None:
    try:
        value = line if isinstance(line, Mapping) else _json(line)
    except (ValueError, RecursionError) as error:
        found.add_problem(Problem(number, "", f"this is no JSON: {error}"))
        return None
    if not isinstance(value, Mapping) or not isinstance(value.get("item"), Mapping):
        found.add_problem(Problem(number, "item", 'a line is {"item": {…}}, perhaps with "sample"'))
        return None
    unknown = sorted(value.keys() - {"item", "sample"})
    if unknown:
        found.add_problem(Problem(number, unknown[0], "a line has `item` and `sample` only"))
    try:
        item = tree(dict(value["item"]))
    except ValueError as error:
        found.add_problem(Problem(number, "item", str(error)))
        return None
    sample = None
    if (given := value.get("sample")) is not None:
        sample = _sample(number, given, found)
    return Row(item, sample)


def _json(line: bytes) -> Any:
    return json.loads(line, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def _sample(number: int, given: Any, found: Rows) -> dict[str, Any] | None:
    if not isinstance(given, Mapping):
        found.add_problem(Problem(number, "sample", "it must be an object with `output_text`"))
        return None
    try:
        return tree(GivenSample.model_validate(dict(given)).model_dump(exclude_unset=True))
    except ValidationError as error:
        for problem in error.errors()[:_PER_LINE]:
            place = ".".join(["sample", *(str(part) for part in problem["loc"])])
            found.add_problem(Problem(number, place, problem["msg"]))
    except ValueError as error:
        found.add_problem(Problem(number, "sample", str(error)))
    return None


def _validator(schema: Mapping[str, Any]) -> Any:
    from jsonschema import Draft202012Validator

    return bounded_validator(schema, Draft202012Validator)


def _item_problems(validator: Any, number: int, item: dict[str, Any]) -> Iterator[Problem]:
    from referencing.exceptions import Unresolvable

    try:
        for count, error in enumerate(validator.iter_errors(item)):
            if count == _PER_LINE:
                return
            place = ".".join(["item", *(str(part) for part in error.absolute_path)])
            yield Problem(number, place, error.message[:_MESSAGE])
    except Unresolvable as error:
        yield Problem(number, "item", f"the schema cannot be resolved: {error}")
    except RecursionError:
        raise InvalidRequest(
            "The item_schema refers to itself without end.", param="item_schema"
        ) from None
    except SchemaFault as fault:
        raise InvalidRequest(f"The item_schema: {fault}.", param="item_schema") from None
