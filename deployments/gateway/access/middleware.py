"""Who gets in: the layer before everything that reads a body."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.errors import DatabaseError
from cluster.tenancy import acting_in
from deployments.errors import Forbidden, RequestError, Unavailable
from deployments.gateway.access.identity import EVERYBODY, Identity
from deployments.gateway.access.key_book import KeyBook
from deployments.gateway.access.scopes import is_open, scopes_of
from deployments.gateway.error_bodies import error_response
from deployments.tracing.draft import TraceDraft

__all__ = ["Access"]


class Access:
    """Asks every request for its key, and has it act for the key's project.

    Without `keys` everybody may do everything in the default project.
    """

    def __init__(self, app: ASGIApp, keys: KeyBook | None) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace: TraceDraft = scope["state"]["trace"]
        try:
            identity = await self._identify(scope)
        except RequestError as error:
            trace.fail(error)
            await error_response(error)(scope, receive, send)
            return
        scope["state"]["identity"] = identity
        trace.project_id, trace.key_id = identity.project_id, identity.key_id
        with acting_in(identity.project_id):
            await self._app(scope, receive, send)

    async def _identify(self, scope: Scope) -> Identity:
        if self._keys is None or is_open(scope["path"]):
            return EVERYBODY
        try:
            identity = await self._keys.identify(Headers(scope=scope).get("authorization", ""))
        except DatabaseError as error:
            raise Unavailable("The API key cannot be checked now.", code="keys_unknown") from error
        wanted = scopes_of(scope["path"])
        if not identity.may(wanted):
            raise Forbidden(
                f"The API key may not do this: it needs the scope {' or '.join(sorted(wanted))}, "
                f"and has {', '.join(sorted(identity.scopes)) or 'none'}.",
                code="missing_scope",
            )
        return identity
