"""`/v1/models`: the chat models and the embedding model."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from deployments.errors import NotFound
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/models", tags=["Models"])


class ModelObject(BaseModel):
    """A model. `kind` and `max_context_tokens` are our additions."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "everloop"
    kind: Literal["chat", "embedding"]
    max_context_tokens: int | None = None


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.get("", summary="List models")
async def list_models(parts: Annotated[Services, Depends(services)]) -> ModelList:
    """List the chat models, the default first, and the embedding model."""
    return ModelList(data=_models(parts))


@router.get("/{model_id:path}", summary="Retrieve a model")
async def retrieve_model(
    model_id: str, parts: Annotated[Services, Depends(services)]
) -> ModelObject:
    """Describe one model."""
    known = {model.id: model for model in _models(parts)}
    if model_id not in known:
        raise NotFound(
            f"No such model: {model_id[:128]}. Known: {', '.join(known)}.",
            param="model",
            code="model_not_found",
        )
    return known[model_id]


def _models(parts: Services) -> list[ModelObject]:
    contexts = {model.id: model.max_context_tokens for model in parts.settings.models}
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
