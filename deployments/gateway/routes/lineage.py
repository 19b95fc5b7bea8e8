"""`/v1/lineage`: what anything was made of, and what it had a part in."""

import asyncio
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session

from deployments.errors import InvalidRequest, NotFound
from deployments.gateway.services import Services, services
from deployments.lineage.describing import TYPES
from deployments.lineage.node import Direction
from deployments.lineage.objects import LineageObject
from deployments.lineage.roots import find_root
from deployments.lineage.walk import Bounds, walk

__all__ = ["router"]

router = APIRouter(prefix="/v1/lineage", tags=["Lineage"])

_DIRECTIONS: Final[dict[str, tuple[Direction, ...]]] = {
    "backward": ("backward",),
    "forward": ("forward",),
    "both": ("backward", "forward"),
}


@router.get("/{thing:path}", summary="Walk from a thing")
async def retrieve_lineage(
    thing: str,
    parts: Annotated[Services, Depends(services)],
    direction: Annotated[
        Literal["backward", "forward", "both"],
        Query(description="To what it was made of, to what it had a part in, or both."),
    ] = "backward",
    depth: Annotated[int, Query(ge=1, le=32, description="Edges to the farthest thing.")] = 16,
    limit: Annotated[int, Query(ge=1, le=1000, description="Things of one type.")] = 200,
    types: Annotated[
        str | None,
        Query(
            max_length=512,
            description="Tell things of these types only, with commas between; the walk goes "
            "through the others all the same.",
        ),
    ] = None,
) -> LineageObject:
    """Walk from any id or name to what it was made of, or forward to what it had a part in.

    An answer is its trace; `x-trace-id` of a response names it. Deleted things stay, `missing`.
    """
    wanted = _types(types)
    await parts.traces.flush()

    def read(session: Session) -> LineageObject:
        root = find_root(session, thing, list(parts.models), parts.settings.default_alias)
        found = walk(session, root, Bounds(depth, limit), *_DIRECTIONS[direction])
        return LineageObject.of(session, root, found, direction, wanted)

    try:
        return await parts.database.run(read, read_only=True)
    except NotFound:  # another replica may hold the trace: it writes within its flush interval
        await asyncio.sleep(2 * parts.settings.tracing.flush_interval_s)
        return await parts.database.run(read, read_only=True)


def _types(given: str | None) -> frozenset[str]:
    wanted = frozenset(part.strip() for part in (given or "").split(",")) - {""}
    if unknown := sorted(wanted - TYPES):
        raise InvalidRequest(
            f"types has {unknown[0][:64]!r}; allowed: {', '.join(sorted(TYPES))}.",
            param="types",
            code="invalid_value",
        )
    return wanted
