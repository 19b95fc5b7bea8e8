"""The ASGI layer of limits: what can be refused before the body is read, is."""

import time
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.errors import InvalidRequest, RequestError
from deployments.gateway.access.identity import Identity
from deployments.gateway.access.scopes import is_open
from deployments.gateway.background import HEADER as PRIORITY_HEADER
from deployments.gateway.background import MODEL_ROUTES
from deployments.gateway.error_bodies import error_response
from deployments.limits.lease import holding
from deployments.limits.limiter import Limiter
from deployments.limits.relief import Relief

__all__ = ["DEGRADE_HEADER", "Limits"]

DEGRADE_HEADER: Final = "x-everloop-degrade"
_ALLOWED: Final = ("yes", "no")
_SPENDING: Final = MODEL_ROUTES | {"/v1/embeddings"}
"""What is refused at once when a budget is used up. Elsewhere calls to models are, one by one: so
usage can be read, files be deleted and the budget be raised."""


class Limits:
    """Holds requests under `/v1/` to the bounds of their key and project; see `Lease`.

    Stands inside the deadline, since it may have to ask the records.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter, relief: Relief) -> None:
        self._app = app
        self._limiter = limiter
        self._relief = relief

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith("/v1/") or is_open(path):
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        identity: Identity = state["identity"]
        headers = Headers(scope=scope)
        route = path.rstrip("/") if scope["method"] == "POST" else ""
        try:
            lease = await self._limiter.open(
                identity.project_id,
                identity.key_id,
                spends=route in _SPENDING,
                may_degrade=_may_degrade(headers),
            )
            state["lease"] = lease  # its headers go with refusals too
            if route in MODEL_ROUTES:
                refusal = self._relief.refusal(
                    identity.project_id,
                    state["deadline"] - time.monotonic(),
                    background=headers.get(PRIORITY_HEADER) == "background",
                    may_degrade=lease.may_degrade,
                )
                if refusal is not None:
                    raise refusal
            lease.begin()
        except RequestError as error:
            state["trace"].fail(error)
            await error_response(error)(scope, receive, send)
            return
        try:
            with holding(lease):
                await self._app(scope, receive, send)
        finally:
            self._limiter.close(lease, state["trace"].model)


def _may_degrade(headers: Headers) -> bool:
    said = headers.get(DEGRADE_HEADER, "yes")
    if said not in _ALLOWED:
        raise InvalidRequest(
            f"{DEGRADE_HEADER} is {said[:64]!r}; allowed: {', '.join(_ALLOWED)}.",
            param=DEGRADE_HEADER,
            code="invalid_value",
        )
    return said == "yes"
