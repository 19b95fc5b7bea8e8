"""`/metrics` in Prometheus' text format."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse

from deployments.errors import Unavailable
from deployments.gateway.access.identity import Identity, identity_of
from deployments.gateway.access.projects import require_operator
from deployments.gateway.exposition import merged, node_endpoints, scraped
from deployments.gateway.measures import LocalMeasures, measures
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(tags=["Metrics"])


@router.get("/metrics", summary="Metrics of the whole cluster", response_class=PlainTextResponse)
async def metrics(
    parts: Annotated[Services, Depends(services)], who: Annotated[Identity, Depends(identity_of)]
) -> PlainTextResponse:
    """Gather what every node's Ray metrics agent exports, ours included, as one exposition.

    It tells of all projects at once, and is the operator's.
    """
    require_operator(who, "Reading the metrics of the whole cluster")
    own = measures()
    own.traces(parts.traces.counts())
    if isinstance(own, LocalMeasures):
        text = own.text()
    else:
        endpoints = await asyncio.to_thread(node_endpoints)
        texts = await scraped(endpoints)
        if not texts:
            raise Unavailable(f"None of {len(endpoints)} metrics agents answered.")
        text = merged(texts)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
