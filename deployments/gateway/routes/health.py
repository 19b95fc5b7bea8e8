"""`/healthz`: the process runs. `/readyz`: every part it needs answers."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from cluster.errors import EverloopError
from deployments.gateway.access.identity import identity_of
from deployments.gateway.services import Check, Services, services

__all__ = ["router"]

_CHECK_TIMEOUT_S: Final = 5.0

router = APIRouter(tags=["Health"])


@router.get("/healthz", summary="Is the process up")
async def healthz() -> dict[str, str]:
    """Answer while this replica runs, whatever the other parts do."""
    return {"status": "ok"}


@router.get("/readyz", summary="Can requests be served", responses={503: {}})
async def readyz(request: Request, parts: Annotated[Services, Depends(services)]) -> JSONResponse:
    """Check every part at the same time; 503 when one of them is not ready.

    Why it is not, with addresses and paths, is told to operators.
    """

    async def thread(check: Any) -> None:
        await asyncio.to_thread(check)

    checks: Mapping[str, Check] = {
        "database": lambda: thread(parts.database.check),
        "storage": lambda: thread(parts.storage.check),
        **parts.checks,
    }
    states = await asyncio.gather(*(_state(check()) for check in checks.values()))
    body = dict(zip(checks, states, strict=True))
    ready = all(state["ready"] for state in states)
    if not identity_of(request).is_operator:
        for state in states:
            state.pop("reason", None)
    return JSONResponse(
        {"status": "ready" if ready else "not_ready", "parts": body},
        status_code=200 if ready else 503,
        headers={} if ready else {"Retry-After": str(parts.settings.http.retry_after_s)},
    )


async def _state(check: Awaitable[None]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            await check
    except TimeoutError:
        return {"ready": False, "reason": f"No answer within {_CHECK_TIMEOUT_S:g} s."}
    except EverloopError as error:
        return {"ready": False, "reason": str(error)}
    return {"ready": True, "ms": round((time.perf_counter() - started) * 1000, 1)}
