"""From a request to rows: what can be known to be wrong is refused before anything is queued."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import insert
from sqlalchemy.orm import Session

from cluster.ids import new_id
from cluster.records import EvalItem, now
from cluster.tenancy import acting_project
from deployments.errors import InvalidRequest, NotFound
from deployments.evaluation.graders.build import check_grader
from deployments.evaluation.graders.specs import GraderSpec, SpecError, TextSimilaritySpec
from deployments.gateway.attachments import find_file
from deployments.gateway.evals.bodies import (
    Completions,
    CustomConfig,
    DataSource,
    EvalCreate,
    FileContent,
    FileSource,
    Jsonl,
    Responses,
)
from deployments.gateway.evals.names import check_names, item_names
from deployments.gateway.evals.rows import Row, check_schema, lines_of, read_rows
from deployments.gateway.evals.stored import STORED_ITEM_SCHEMA, stored_rows
from deployments.gateway.services import Services
from deployments.lineage.edges import add_edges, edges_of_sources
from deployments.lineage.row_sources import RowSources

__all__ = [
    "add_items",
    "asked_model",
    "check_eval",
    "check_source",
    "checked_grader",
    "kept_source",
    "run_rows",
]

_BATCH: Final = 1000
_SOURCE: Final = "data_source.source"


def checked_grader(given: Mapping[str, Any], param: str) -> GraderSpec:
    """The spec of a grader's body. Raises InvalidRequest that names the field."""
    try:
        return check_grader(given, param)
    except SpecError as error:
        raise InvalidRequest(str(error), param=error.param, code="invalid_grader") from error


def check_eval(body: EvalCreate, max_graders: int) -> None:
    """Raise InvalidRequest for a schema, a grader or a template that can never work."""
    config, criteria = body.data_source_config, body.testing_criteria
    if len(criteria) > max_graders:
        raise InvalidRequest(
            f"testing_criteria has {len(criteria)} graders; at most {max_graders} are allowed.",
            param="testing_criteria",
            code="too_many_graders",
        )
    schema = STORED_ITEM_SCHEMA
    if isinstance(config, CustomConfig):
        schema = config.item_schema
        check_schema(schema, "data_source_config.item_schema")
    known = item_names(schema)
    names: set[str] = set()
    for index, given in enumerate(criteria):
        param = f"testing_criteria.{index}"
        spec = checked_grader(given, param)
        if isinstance(spec, TextSimilaritySpec) and spec.pass_threshold is None:
            raise InvalidRequest(
                f"{param}.pass_threshold is required.",
                param=f"{param}.pass_threshold",
                code="missing_parameter",
            )
        if spec.name in names:
            raise InvalidRequest(
                f"{param}.name is {spec.name!r}, which another grader has already.",
                param=f"{param}.name",
                code="invalid_value",
            )
        names.add(spec.name)
        # Whether there will be answers is a matter of each run.
        check_names(given, known, param, sample=True)


def asked_model(source: DataSource) -> str | None:
    """The model that a run asks, if it asks one."""
    return None if isinstance(source, Jsonl) else source.model


async def check_source(parts: Services, source: DataSource, config: Mapping[str, Any]) -> None:
    """Raise InvalidRequest or NotFound for a model or for messages that cannot be asked."""
    if isinstance(source, Jsonl):
        return
    if source.model is None:
        for name in ("input_messages", "sampling_params"):
            if getattr(source, name) is not None:
                raise InvalidRequest(
                    f"data_source.{name} needs data_source.model: without one, answers are those "
                    "that the data brings along.",
                    param=f"data_source.{name}",
                    code="missing_parameter",
                )
        return
    outside = {model.id for model in parts.settings.evaluation.outside_models}
    if source.model in outside:
        if isinstance(source, Responses):
            raise InvalidRequest(
                f"data_source.model is {source.model!r}, a model outside; it is asked by chat: use "
                "a data source of type completions.",
                param="data_source.model",
                code="invalid_value",
            )
    else:
        await parts.directory.resolve(source.model, "data_source.model")
    _check_messages(source, config)


def _check_messages(source: Completions | Responses, config: Mapping[str, Any]) -> None:
    stored = not isinstance(source.source, FileContent | FileSource)
    schema = STORED_ITEM_SCHEMA if stored else config.get("item_schema") or {}
    messages = source.input_messages
    param = "data_source.input_messages"
    if messages is None:
        if stored or "input" in (item_names(schema) or {"input"}):
            return  # the item's `input` is the question
        raise InvalidRequest(
            f"{param} is required where a model is asked about items without `input`.",
            param=param,
            code="missing_parameter",
        )
    if messages.type == "item_reference":
        name = messages.item_reference.strip().strip("{}").strip()
        given: Any = f"{{{{{name}}}}}"
    else:
        given = [message.template for message in messages.template]
    check_names(given, item_names(schema), param, sample=False)


async def run_rows(parts: Services, source: DataSource, config: Mapping[str, Any]) -> list[Row]:
    """The items of a run, read to their end.

    Raises InvalidDataset that lists every problem by line, InvalidRequest, and NotFound.
    """
    limits = parts.settings.evaluation
    custom = config["type"] == "custom"
    where = source.source
    if isinstance(where, FileContent):
        content = [row.model_dump(exclude_unset=True) for row in where.content]
        read = await asyncio.to_thread(
            read_rows,
            list(enumerate(content, start=1)),
            config["item_schema"] if custom else None,
            max_items=limits.max_items,
            param=f"{_SOURCE}.content",
        )
        return read.checked(f"{_SOURCE}.content")
    if isinstance(where, FileSource):
        return await _file_rows(parts, where, config["item_schema"] if custom else None)
    metadata = {} if custom else config.get("metadata") or {}
    await parts.traces.flush()
    rows = await parts.database.run(
        lambda session: stored_rows(session, where, metadata, limits.max_items), read_only=True
    )
    if not rows:
        raise InvalidRequest(
            f"{_SOURCE} finds no answer. Answers are found by their traces, which keep texts while "
            "the setting tracing.store_text is on.",
            param=_SOURCE,
            code="no_items",
        )
    return rows


async def _file_rows(
    parts: Services, where: FileSource, schema: Mapping[str, Any] | None
) -> list[Row]:
    limits = parts.settings.evaluation
    param = f"{_SOURCE}.id"

    def find(session: Session) -> tuple[str, str]:
        try:
            row = find_file(session, where.id)
        except NotFound as error:
            raise NotFound(error.message, param=param, code="not_found") from None
        return row.storage_key, row.purpose

    key, purpose = await parts.database.run(find, read_only=True)
    if purpose != "evals":
        raise InvalidRequest(
            f"The file {where.id} was uploaded for {purpose}; allowed: evals.",
            param=param,
            code="invalid_value",
        )

    def read() -> list[Row]:
        with parts.storage.open(key) as file:
            lines = lines_of(file, limits.max_data_bytes, param)
            found = read_rows(lines, schema, max_items=limits.max_items, param=param)
        return found.checked(param)

    return await asyncio.to_thread(read)


def kept_source(source: DataSource) -> dict[str, Any]:
    """What the run's record says of its data; rows in the body are items and not kept twice."""
    kept = source.model_dump(mode="json", exclude_unset=True)
    if isinstance(source.source, FileContent):
        kept["source"]["content"] = []
    return kept


def add_items(session: Session, run_id: str, rows: Sequence[Row]) -> None:
    """Queue the items of a run, and note which traces they are."""
    for batch in _batches(rows):
        session.execute(
            insert(EvalItem),
            [
                {
                    "id": new_id("outputitem"),
                    "project_id": acting_project(),
                    "run_id": run_id,
                    "number": number,
                    "status": "queued",
                    "item": row.item,
                    "given": row.sample,
                    "attempts": 0,
                    "created_at": now(),
                }
                for number, row in batch
            ],
        )
    sources = RowSources()
    for row in rows:
        sources.see_item(row.item)
    add_edges(session, edges_of_sources(run_id, sources.ids))


def _batches(rows: Sequence[Row]) -> Iterator[list[tuple[int, Row]]]:
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        yield list(enumerate(part, start=start + 1))
