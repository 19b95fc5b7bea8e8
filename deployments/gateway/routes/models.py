"""`/v1/models`: chat models, the embedding model, aliases and adapter versions."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.adapters import ADAPTER_PREFIX
from cluster.records import Adapter, Alias
from deployments.errors import InvalidRequest
from deployments.gateway.objects import Deleted
from deployments.gateway.routes.adapters import delete_adapter
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/models", tags=["Models"])
_MOST_ADAPTERS: Final = 1000
"""The newest; `/v1/adapters` has pages of all."""


class ModelObject(BaseModel):
    """A model. What stands after `owned_by` is ours."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "everloop"
    kind: Literal["chat", "embedding", "alias", "adapter"]
    max_context_tokens: int | None = None
    target: str | None = None
    """Of an alias: what answers to it now."""
    parent: str | None = None
    """Of an adapter: the model that it sits on."""


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.get("", summary="List models")
async def list_models(parts: Annotated[Services, Depends(services)]) -> ModelList:
    """List the chat models, the default first, the embedding model, aliases and adapters."""
    stored = await parts.database.run(lambda session: _stored(session, parts), read_only=True)
    return ModelList(data=[*_served(parts), *stored])


@router.get("/{model_id:path}", summary="Retrieve a model")
async def retrieve_model(
    model_id: str, parts: Annotated[Services, Depends(services)]
) -> ModelObject:
    """Describe one model."""
    for model in _served(parts):
        if model.id == model_id:
            return model
    target = await parts.directory.resolve(model_id)
    return ModelObject(
        id=model_id,
        created=parts.started_at,
        kind="alias" if target.alias is not None else "adapter",
        max_context_tokens=_contexts(parts).get(target.base),
        target=target.name if target.alias is not None else None,
        parent=target.base if target.adapter is not None else None,
    )


@router.delete("/{model_id:path}", summary="Delete a fine-tuned model")
async def delete_model(model_id: str, parts: Annotated[Services, Depends(services)]) -> Deleted:
    """Delete an adapter version that no alias points at."""
    if not model_id.startswith(ADAPTER_PREFIX):
        raise InvalidRequest(
            f"{model_id[:128]!r} is no fine-tuned model; served models are in the settings, and "
            "aliases are deleted at /v1/aliases.",
            param="model",
            code="invalid_value",
        )
    await delete_adapter(model_id, parts)
    return Deleted(id=model_id, object="model")


def _served(parts: Services) -> list[ModelObject]:
    contexts = _contexts(parts)
    chat = [
        ModelObject(
            id=model_id,
            created=parts.started_at,
            kind="chat",
            max_context_tokens=contexts.get(model_id),
        )
        for model_id in parts.models
    ]
    embedding = ModelObject(
        id=parts.settings.embedding.id, created=parts.started_at, kind="embedding"
    )
    return [*chat, embedding]


def _stored(session: Session, parts: Services) -> list[ModelObject]:
    contexts = _contexts(parts)
    aliases = list(session.scalars(select(Alias).order_by(Alias.name)))
    adapters = list(
        session.scalars(
            select(Adapter)
            .where(Adapter.deleted_at.is_(None))
            .order_by(Adapter.number.desc())
            .limit(_MOST_ADAPTERS)
        )
    )
    found = [
        ModelObject(id=row.name, created=row.updated_at, kind="alias", target=row.target)
        for row in aliases
    ]
    default = parts.settings.default_alias
    if all(row.name != default for row in aliases):
        target = next(iter(parts.models))
        found.insert(
            0, ModelObject(id=default, created=parts.started_at, kind="alias", target=target)
        )
    found += [
        ModelObject(
            id=row.id,
            created=row.created_at,
            kind="adapter",
            parent=row.base,
            max_context_tokens=contexts.get(row.base),
        )
        for row in adapters
    ]
    return found


def _contexts(parts: Services) -> dict[str, int]:
    return {model.id: model.max_context_tokens for model in parts.settings.models}
