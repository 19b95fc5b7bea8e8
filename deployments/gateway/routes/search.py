"""`POST /v1/vector_stores/{id}/search`."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from cluster.records import now
from cluster.tenancy import acting_project
from deployments.gateway.attachments import active_store
from deployments.gateway.bodies import RankingOptions, Search
from deployments.gateway.objects import SearchPage, SearchResultObject
from deployments.gateway.services import Services, services
from deployments.retriever.messages import RetrievedPassage, SearchRequest, SearchResult

__all__ = ["router", "touch_store"]

_ACTIVE_S: Final = 60

router = APIRouter(prefix="/v1/vector_stores", tags=["Vector stores"])


@router.post("/{vector_store_id}/search", summary="Search a vector store")
async def search_store(
    vector_store_id: str, body: Search, parts: Annotated[Services, Depends(services)]
) -> SearchPage:
    """Find passages, best first. Of several queries each passage has its best score."""
    queries = [body.query] if isinstance(body.query, str) else list(dict.fromkeys(body.query))
    searching = asyncio.gather(
        *(parts.retriever.search(_request(vector_store_id, query, body)) for query in queries)
    )
    # The store is looked up meanwhile; where it is not there, that is the answer.
    searching.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await touch_store(parts, vector_store_id)
        results = await searching
    finally:
        searching.cancel()
    return SearchPage(
        search_query=queries,
        data=[SearchResultObject.of(found) for found in _best(results, body.max_num_results)],
        timings_ms=max((result.timings_ms for result in results), key=_total),
    )


async def touch_store(parts: Services, store_id: str) -> None:
    """Raise unless the store exists and has not expired; note that it is in use."""

    def is_stale(session: Session) -> bool:
        store = active_store(session, store_id)
        return now() - store.last_active_at > _ACTIVE_S

    def touch(session: Session) -> None:
        active_store(session, store_id, lock=True).last_active_at = now()

    if await parts.database.run(is_stale, read_only=True):
        await parts.database.run(touch)


def _request(store_id: str, query: str, body: Search) -> SearchRequest:
    ranking = body.ranking_options or RankingOptions()
    return SearchRequest(
        project_id=acting_project(),
        store_ids=(store_id,),
        query=query,
        limit=body.max_num_results,
        filters=body.filters,
        mode=body.mode,
        fusion=body.fusion,
        rerank=False if ranking.ranker == "none" else body.rerank,
        mmr_lambda=body.mmr_lambda,
        score_threshold=ranking.score_threshold,
    )


def _best(results: list[SearchResult], limit: int) -> list[RetrievedPassage]:
    if len(results) == 1:
        return list(results[0].passages[:limit])
    best: dict[str, RetrievedPassage] = {}
    for result in results:
        for found in result.passages:
            if found.id not in best or best[found.id].score < found.score:
                best[found.id] = found
    return sorted(best.values(), key=lambda found: -found.score)[:limit]


def _total(timings: dict[str, float]) -> float:
    return timings.get("total", 0.0)
