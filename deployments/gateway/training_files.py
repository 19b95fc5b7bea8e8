"""Files to train on: checked whole when they are uploaded, so that no job finds the fault."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO, Final

from pydantic import ValidationError

from deployments.errors import InvalidDataset, InvalidRequest
from deployments.lineage.row_sources import RowSources
from training.data.columns import Columns
from training.data.reading import ReadDataset, read_dataset

__all__ = ["PURPOSE", "check_training_file", "columns_of"]

PURPOSE: Final = "fine-tune"
_TOLD: Final = 3
_FIELD: Final = "columns"


def columns_of(form: Mapping[str, Any], purpose: str) -> Columns | None:
    """The mapping of a table in a form: `columns` as JSON, or `columns[prompt]` and so on.

    The second is what the `openai` client makes of a dictionary in `extra_body`. Raises
    InvalidRequest.
    """
    given = _given(form)
    if given is None:
        return None
    if purpose != PURPOSE:
        raise InvalidRequest(
            f"columns goes with purpose '{PURPOSE}'; the purpose is {purpose!r}.",
            param=_FIELD,
            code="invalid_value",
        )
    try:
        return Columns.model_validate(given)
    except ValidationError as error:
        said = "; ".join(_sentence(item["loc"], item["msg"]) for item in error.errors())
        raise InvalidRequest(f"columns: {said}.", param=_FIELD, code="invalid_value") from error


def check_training_file(
    file: BinaryIO, name: str, columns: Columns | None, sources: RowSources | None = None
) -> dict[str, Any]:
    """Read the file to its end, and give what its record's `meta` holds. Blocking.

    `sources` is told whence the rows are. Raises InvalidDataset that lists the problems. The file
    is at its beginning before and after.
    """
    seen = RowSources() if sources is None else sources
    read = read_dataset(
        file,
        columns=columns,
        keep_rows=False,
        name=name,
        on_row=lambda row: seen.see(row.metadata),
    )
    file.seek(0)
    if read.problems:
        raise _refusal(read)
    meta: dict[str, Any] = {"dataset": asdict(read.summary)}
    if columns is not None:
        meta["columns"] = columns.model_dump(exclude_defaults=True)
    return meta


def _given(form: Mapping[str, Any]) -> Any:
    if _FIELD not in form:
        prefix = f"{_FIELD}["
        parts = {
            key[len(prefix) : -1]: value
            for key, value in form.items()
            if key.startswith(prefix) and key.endswith("]")
        }
        return parts or None
    try:
        return json.loads(form[_FIELD])
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            'columns must be JSON, such as {"prompt": "question", "completion": "answer"}.',
            param=_FIELD,
            code="invalid_json",
        ) from error


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    return f"{'.'.join(map(str, place))}: {said}" if place else said


def _refusal(read: ReadDataset) -> InvalidDataset:
    count = len(read.problems) + read.more_problems
    told = [str(problem).rstrip(".") for problem in read.problems[:_TOLD]]
    if count > _TOLD:
        told.append(f"and {count - _TOLD} more, listed in error.problems")
    plural = "" if count == 1 else "s"
    return InvalidDataset(
        f"{read.name} has {count} problem{plural}: {'; '.join(told)}.",
        [asdict(problem) for problem in read.problems],
        read.more_problems,
    )
