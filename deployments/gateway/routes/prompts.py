"""`/v1/prompts`: prompts whose versions never change, and labels that move over them.

A path takes a prompt's name or its id.
"""

import asyncio
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import PromptRecord, PromptVersion, now
from deployments.errors import InvalidRequest
from deployments.gateway.objects import Deleted
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.prompting import prompt_errors
from deployments.gateway.prompts.bodies import (
    Imported,
    PromptCreate,
    PromptUpdate,
    Rendering,
    VersionCreate,
)
from deployments.gateway.prompts.objects import (
    ExportedPrompt,
    PromptDiff,
    PromptObject,
    RenderedPrompt,
    VersionObject,
)
from deployments.gateway.prompts.registry import (
    imported,
    new_version,
    prompt_objects,
    version_objects,
    with_version,
)
from deployments.gateway.services import Services, services
from deployments.prompts import Prompt
from deployments.prompts.body import PromptBody
from deployments.prompts.book import PROMPT_TTL_S
from deployments.prompts.comparing import compare
from deployments.prompts.errors import ExchangeError
from deployments.prompts.exchange.formats import Export, export_prompt, import_prompt
from deployments.prompts.versions import (
    create_prompt,
    delete_prompt,
    find_version,
    require_prompt,
    require_version,
)

__all__ = ["router"]

router = APIRouter(prefix="/v1/prompts", tags=["Prompts"])
Parts = Annotated[Services, Depends(services)]
Pages = Annotated[PageQuery, Depends(PageQueryDependency)]
Made = TypeVar("Made")
Version = Annotated[str | None, Query(max_length=64, description="Number, label or digest.")]


@router.post("", summary="Create a prompt")
async def create(body: PromptCreate, parts: Parts) -> PromptObject:
    """Make a prompt with its first version."""

    def make(session: Session) -> PromptObject:
        record = create_prompt(session, body.name, body.description, dict(body.metadata))
        given = body.version
        version = new_version(session, parts, record, given.body, given.comment, given.label)
        return with_version(session, record, version)

    return await _settled(await parts.database.run(make), body.version.label)


@router.get("", summary="List prompts")
async def list_prompts(parts: Parts, page: Pages) -> Page[PromptObject]:
    """List the prompts, without what they say."""

    def read(session: Session) -> Page[PromptObject]:
        query = select(PromptRecord).where(PromptRecord.deleted_at.is_(None))
        rows, has_more = take_page(session, query, PromptRecord.id, page)
        return Page[PromptObject].of(prompt_objects(session, rows), has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.post("/import", summary="Import a prompt")
async def import_version(body: Imported, parts: Parts) -> PromptObject:
    """Make a version of a LangChain prompt, of our YAML or of a plain template.

    What the text says and a prompt here cannot is an error that says what and why.
    """
    try:
        read = await asyncio.to_thread(import_prompt, body.content, body.format, body.filename)
    except ExchangeError as error:
        raise InvalidRequest(
            f"The content cannot be imported: {error}", param="content", code="not_importable"
        ) from error
    name = body.name or read.name
    if name is None:
        raise InvalidRequest(
            "name is required: the content does not say one.",
            param="name",
            code="missing_parameter",
        )
    made = await parts.database.run(
        lambda session: imported(
            session,
            parts,
            name,
            read.description,
            read.body,
            comment=body.comment,
            label=body.label,
        )
    )
    return await _settled(made, body.label)


@router.get("/{name}", summary="Retrieve a prompt")
async def retrieve(name: str, parts: Parts) -> PromptObject:
    """Return a prompt and where its labels stand."""
    return await parts.database.run(
        lambda session: prompt_objects(session, [require_prompt(session, name)])[0],
        read_only=True,
    )


@router.post("/{name}", summary="Update a prompt")
async def update(name: str, body: PromptUpdate, parts: Parts) -> PromptObject:
    """Change a prompt's description or metadata."""

    def change(session: Session) -> PromptObject:
        record = require_prompt(session, name)
        if body.description is not None:
            record.description = body.description
        if body.metadata is not None:
            record.meta = dict(body.metadata)
        record.updated_at = now()
        return prompt_objects(session, [record])[0]

    return await parts.database.run(change)


@router.delete("/{name}", summary="Delete a prompt")
async def remove(name: str, parts: Parts) -> Deleted:
    """Forget a prompt and its labels.

    Its versions stay readable by their digests, for traces and for what is pinned to them.
    """

    def forget(session: Session) -> str:
        record = require_prompt(session, name)
        delete_prompt(session, record)
        return record.id

    prompt_id = await parts.database.run(forget)
    await asyncio.sleep(PROMPT_TTL_S)  # until no gateway replica answers by it
    return Deleted(id=prompt_id, object="prompt")


@router.post("/{name}/versions", summary="Create a version")
async def create_version(name: str, body: VersionCreate, parts: Parts) -> VersionObject:
    """Make a version; the same body again gives the version that there is, and moves `label`."""
    made = await parts.database.run(
        lambda session: new_version(
            session, parts, require_prompt(session, name), body.body, body.comment, body.label
        )
    )
    return await _settled(made, body.label)


@router.get("/{name}/versions", summary="List versions")
async def list_versions(name: str, parts: Parts, page: Pages) -> Page[VersionObject]:
    """List a prompt's versions, without their bodies."""

    def read(session: Session) -> Page[VersionObject]:
        record = require_prompt(session, name)
        query = select(PromptVersion).where(PromptVersion.prompt_id == record.id)
        place = {
            side: require_version(session, record, found.rpartition("@")[2]).number
            for side, found in (("after", page.after), ("before", page.before))
            if found is not None
        }
        rows, has_more = take_page(session, query, PromptVersion.number, page, **place)
        return Page[VersionObject].of(version_objects(session, rows), has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{name}/versions/{version}", summary="Retrieve a version")
async def retrieve_version(name: str, version: str, parts: Parts) -> VersionObject:
    """Return a version by its number, a label or its digest."""

    def read(session: Session) -> VersionObject:
        return version_objects(session, [_row(session, name, version)], whole=True)[0]

    return await parts.database.run(read, read_only=True)


@router.get("/{name}/diff", summary="Compare two versions")
async def diff(
    name: str,
    parts: Parts,
    old: Annotated[str, Query(alias="from", max_length=64)],
    new: Annotated[str, Query(alias="to", max_length=64)] = "latest",
) -> PromptDiff:
    """What `to` says differently from `from`: by place, and as a unified diff."""

    def read(session: Session) -> tuple[PromptVersion, PromptVersion]:
        return _row(session, name, old), _row(session, name, new)

    first, second = await parts.database.run(read, read_only=True)
    found = compare(
        first.name,
        (first.number, PromptBody.model_validate(first.body)),
        (second.number, PromptBody.model_validate(second.body)),
    )
    return PromptDiff(old=_reference(first), new=_reference(second), **found)


@router.post("/{name}/render", summary="Render a version")
async def render(name: str, body: Rendering, parts: Parts) -> RenderedPrompt:
    """Put values in place of the variables. No model is asked."""
    prompt = await _prompt(parts, name, body.version)
    with prompt_errors():
        messages = prompt.render(**body.variables)
    model = body.model or next(iter(parts.models))
    target = await parts.directory.resolve(model)
    tokens = await asyncio.to_thread(parts.answerer.count_tokens, target.base, messages)
    return RenderedPrompt(
        version=prompt.version, messages=messages, tokens=tokens, model=target.name
    )


@router.get("/{name}/export", summary="Export a version")
async def export(
    name: str,
    parts: Parts,
    form: Annotated[Export, Query(alias="format")] = "everloop",
    version: Version = None,
) -> ExportedPrompt:
    """A version as our YAML, as LangChain's JSON, or as a plain template.

    What the format cannot say is an error that says what and why.
    """
    prompt = await _prompt(parts, name, version)
    record = await parts.database.run(
        lambda session: require_prompt(session, prompt.name).description, read_only=True
    )
    try:
        content = export_prompt(prompt.name, record, prompt.body, form)
    except ExchangeError as error:
        raise InvalidRequest(
            f"{prompt.version} cannot be exported as {form}: {error}",
            param="format",
            code="not_exportable",
        ) from error
    return ExportedPrompt(version=prompt.version, format=form, content=content)


async def _settled(made: Made, label: str | None) -> Made:
    """Return once no gateway replica answers by what the label, or its lack, meant before."""
    if label is not None:
        await asyncio.sleep(PROMPT_TTL_S)
    return made


async def _prompt(parts: Services, name: str, version: str | None) -> Prompt:
    return await parts.prompts.find(name if version is None else f"{name}@{version}")


def _row(session: Session, name: str, version: str) -> PromptVersion:
    row = find_version(session, name, version)
    return row or require_version(session, require_prompt(session, name), version)


def _reference(row: PromptVersion) -> str:
    return f"{row.name}@{row.digest}"
