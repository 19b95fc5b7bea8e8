"""`POST /v1/embeddings`."""

import base64
import math
import sys
from array import array
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from deployments.errors import InvalidRequest, NotFound
from deployments.gateway.bodies import EmbeddingCreate
from deployments.gateway.request_context import current_trace
from deployments.gateway.services import Services, services
from deployments.gateway.token_estimate import estimate_texts
from deployments.limits.lease import setting_aside

__all__ = ["router"]

router = APIRouter(prefix="/v1/embeddings", tags=["Embeddings"])


class EmbeddingObject(BaseModel):
    """One vector of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    """Numbers, or little-endian float32 in base64."""


class EmbeddingUsage(BaseModel):
    """Tokens that were embedded."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage


@router.post("", summary="Embed texts")
async def create_embeddings(
    body: EmbeddingCreate, request: Request, parts: Annotated[Services, Depends(services)]
) -> EmbeddingList:
    """Embed a text, texts, tokens or lists of tokens.

    `dimensions` keeps the first numbers of each vector and scales it to unit length again.
    """
    known = parts.settings.embedding.id
    if body.model != known:
        raise NotFound(
            f"No such embedding model: {body.model[:128]}. Known: {known}.",
            param="model",
            code="model_not_found",
        )
    trace = current_trace(request)
    trace.route, trace.model = "/v1/embeddings", known
    texts = await _texts(body, parts)
    with setting_aside(estimate_texts(texts), 0, model=known) as reserved:
        embedded = await parts.embedder.embed(texts)
        tokens = sum(embedded.tokens)
        reserved.used(tokens, 0)
    trace.body["tokens"] = {"prompt": tokens}
    data = [
        EmbeddingObject(index=index, embedding=_encoded(_shortened(vector, body), body))
        for index, vector in enumerate(embedded.vectors)
    ]
    usage = EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
    return EmbeddingList(data=data, model=known, usage=usage)


async def _texts(body: EmbeddingCreate, parts: Services) -> list[str]:
    given = body.input
    if isinstance(given, str):
        return [given]
    if all(isinstance(item, str) for item in given):
        return [item for item in given if isinstance(item, str)]
    lists = [item for item in given if isinstance(item, list)]
    if not lists:
        lists = [[item for item in given if isinstance(item, int)]]
    return await parts.embedder.decode(lists)


def _shortened(vector: list[float], body: EmbeddingCreate) -> list[float]:
    wanted = body.dimensions
    if wanted is None or wanted == len(vector):
        return vector
    if wanted > len(vector):
        raise InvalidRequest(
            f"dimensions is {wanted}; {body.model} has {len(vector)}.",
            param="dimensions",
            code="invalid_value",
        )
    head = vector[:wanted]
    length = math.sqrt(math.fsum(x * x for x in head)) or 1.0
    return [x / length for x in head]


def _encoded(vector: list[float], body: EmbeddingCreate) -> list[float] | str:
    if body.encoding_format == "float":
        return vector
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
