"""Files to train on: checked whole when they are uploaded, so that no job finds the fault."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO, Final

from pydantic import ValidationError

from cluster.sections.answering import IngestionSettings
from cluster.tenancy import acting_project
from deployments.errors import InvalidDataset, InvalidRequest, Overloaded, Unavailable
from deployments.gateway.parquet_process import ParquetProcess
from deployments.gateway.parquet_reading import Asked, Reading
from deployments.limits.fair_places import FairPlaces
from deployments.lineage.row_sources import RowSources
from training.data.columns import Columns
from training.data.parquet import MAGIC
from training.data.reading import ReadDataset, read_dataset

__all__ = ["PURPOSE", "TrainingFiles", "check_training_file", "columns_of"]

_log = logging.getLogger(__name__)
PURPOSE: Final = "fine-tune"
_TOLD: Final = 3
_FIELD: Final = "columns"
_PLACES: Final = 32
"""Parquet files that are read or wait for it."""


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
    return _meta(read, columns)


class TrainingFiles:
    """Checks what is uploaded. One gateway's; used on one event loop.

    A Parquet file is read in a process with the bounds of `ingestion`, `ingestion.parsers` of them
    at once.
    """

    def __init__(self, settings: IngestionSettings) -> None:
        self._settings: Final = settings
        self._turns: Final = asyncio.Semaphore(settings.parsers)
        self._places: Final = FairPlaces(_PLACES)

    async def check(
        self, file: BinaryIO, name: str, columns: Columns | None, sources: RowSources
    ) -> dict[str, Any]:
        """As `check_training_file`. Raises Overloaded too, and Unavailable without a sandbox."""
        head = file.read(len(MAGIC))
        file.seek(0)
        if head != MAGIC:
            return await asyncio.to_thread(check_training_file, file, name, columns, sources)
        project = acting_project()
        if not self._places.take(project):
            raise Overloaded(
                "Too many Parquet files wait to be read. Try again in 5 s.",
                param="file",
                code="overloaded",
                retry_after_s=5,
            )
        try:
            async with self._turns:
                reading = await self._read(file, name, columns)
        finally:
            self._places.leave(project)
        read = ReadDataset(name, (), reading.problems, reading.more_problems, reading.summary)
        return _meta(read, columns)

    async def _read(self, file: BinaryIO, name: str, columns: Columns | None) -> Reading:
        settings = self._settings
        required = settings.sandbox == "required"
        process = ParquetProcess(
            memory_mib=settings.parser_memory_mib, timeout_s=settings.file_timeout_s
        )
        asked = Asked(name=name, columns=columns, required=required)
        try:
            reading = await asyncio.to_thread(process.read, file, asked)
        except asyncio.CancelledError:
            process.end()
            raise
        if reading.missing is not None:
            _log.error("Parquet is not read: the sandbox lacks %s", reading.missing)
            raise Unavailable("Parquet files cannot be read here.", code="part_unavailable")
        return reading


def _meta(read: ReadDataset, columns: Columns | None) -> dict[str, Any]:
    """What the record says. Raises InvalidDataset."""
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
