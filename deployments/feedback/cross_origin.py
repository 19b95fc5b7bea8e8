"""Web pages of other origins may send end users' feedback, and nothing else."""

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["END_USER_PATH", "EndUserOrigins"]

END_USER_PATH: Final = "/v1/feedback/end-user"
_PREFLIGHT_S: Final = 600


class EndUserOrigins:
    """Answers browsers' CORS questions on the one route whose credential is the token itself."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app: Final = app
        self._answering: Final = CORSMiddleware(
            app,
            allow_origins=tuple(origins),
            allow_methods=("POST",),
            allow_headers=("authorization", "content-type"),
            expose_headers=("x-request-id",),
            max_age=_PREFLIGHT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        ours = scope["type"] == "http" and scope["path"] == END_USER_PATH
        await (self._answering if ours else self._app)(scope, receive, send)
