"""Headers of clients with which they would steer Serve's proxy, or bring it down.

The proxy takes some headers as orders: how long to wait, to work on for a client that has gone,
which replica to ask. These are ours to give. It reads them and `x-request-id` as UTF-8, and fails
on what is none. Imported by `deployments.proxy_errors`, in the proxy, so it imports little.
"""

import re
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["SANE_ID", "ProxyHeaders"]

SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
"""A name that a client may give to its request."""
_REQUEST_ID: Final = b"x-request-id"
_ORDERS: Final = frozenset(
    {
        b"serve-multiplexed-model-id",
        b"x-session-id",
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
    }
)
"""As Serve knows them; to it `_` and `-` are the same."""
_ROUTERS: Final = b"x-serve-router-"


class ProxyHeaders:
    """Takes such headers away; Serve then names the request, and goes by its settings."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            kept = [(name, value) for name, value in scope["headers"] if _may_pass(name, value)]
            scope = {**scope, "headers": kept}
        await self._app(scope, receive, send)


def _may_pass(name: bytes, value: bytes) -> bool:
    known = name.lower().replace(b"_", b"-")
    if known == _REQUEST_ID:
        return SANE_ID.fullmatch(value.decode("latin-1")) is not None
    return known not in _ORDERS and not known.startswith(_ROUTERS)
