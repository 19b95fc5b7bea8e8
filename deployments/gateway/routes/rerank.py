"""`POST /v1/rerank`, in the shape that Cohere and Jina share."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from cluster.ids import new_id
from deployments.errors import NotFound
from deployments.gateway.bodies import Rerank
from deployments.gateway.request_context import current_trace
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/rerank", tags=["Rerank"])


class RerankResult(BaseModel):
    """One document's place."""

    index: int
    """Position in the request's `documents`."""
    relevance_score: float
    """0 to 1."""
    document: dict[str, Any] | None = None


class RerankResponse(BaseModel):
    """Documents, most relevant first."""

    id: str
    model: str
    results: list[RerankResult]
    meta: dict[str, Any]


@router.post("", summary="Rerank documents", response_model_exclude_none=True)
async def rerank_documents(
    body: Rerank, request: Request, parts: Annotated[Services, Depends(services)]
) -> RerankResponse:
    """Order documents by relevance to the query."""
    known = parts.settings.retrieval.reranker
    if body.model not in {None, known}:
        raise NotFound(
            f"No such reranker: {str(body.model)[:128]}. Known: {known}.",
            param="model",
            code="model_not_found",
        )
    trace = current_trace(request)
    trace.route, trace.model, trace.question = "/v1/rerank", known, body.query
    texts = [item if isinstance(item, str) else item.text for item in body.documents]
    scores = await parts.retriever.rerank(body.query, texts)
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    results = [
        RerankResult(
            index=index,
            relevance_score=scores[index],
            document=_document(body, index) if body.return_documents else None,
        )
        for index in order[: body.top_n]
    ]
    return RerankResponse(
        id=new_id("rerank"),
        model=known,
        results=results,
        meta={"billed_units": {"search_units": 1}},
    )


def _document(body: Rerank, index: int) -> dict[str, Any]:
    document = body.documents[index]
    return {"text": document} if isinstance(document, str) else document.model_dump()
