"""Who gets in: the layer before everything that reads a body."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.actor import acting_as
from cluster.errors import DatabaseError, SettingsError
from cluster.secret import installation_secret
from cluster.settings import Settings
from cluster.tenancy import acting_in
from deployments.errors import Forbidden, RequestError, Unauthorized, Unavailable
from deployments.feedback.tokens import FeedbackTokens
from deployments.gateway.access.identity import EVERYBODY, NOBODY, Identity
from deployments.gateway.access.key_book import KeyBook, bearer_of
from deployments.gateway.access.local_only import check_local
from deployments.gateway.access.scopes import is_end_users, is_open, scopes_of
from deployments.gateway.error_bodies import error_response
from deployments.tracing.draft import TraceDraft

__all__ = ["Access"]


class Access:
    """Asks every request for its key, and has it act for the key's project.

    Without `keys` every program of this machine may do everything in the default project; see
    `check_local`. End users' feedback comes
    with a token of its own in place of a key; what that allows is `state.grant`.
    """

    def __init__(self, app: ASGIApp, settings: Settings, keys: KeyBook | None) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace: TraceDraft = scope["state"]["trace"]
        try:
            identity = await self._admit(scope)
        except RequestError as error:
            trace.fail(error)
            await error_response(error)(scope, receive, send)
            return
        scope["state"]["identity"] = identity
        trace.project_id, trace.key_id = identity.project_id, identity.key_id
        with (
            acting_in(identity.project_id),
            acting_as(identity.key_id, scope["state"]["request_id"]),
        ):
            await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Identity:
        method, path, headers = scope["method"], scope["path"], Headers(scope=scope)
        authorization = headers.get("authorization", "")
        try:
            if is_end_users(method, path):
                return await self._end_user(scope, authorization)
            if self._keys is None:
                check_local(headers)
                return EVERYBODY
            if is_open(path):
                return await self._known(self._keys, authorization)
            identity = await self._keys.identify(authorization)
        except DatabaseError as error:
            raise Unavailable(
                "The API key cannot be checked now.",
                code="keys_unknown",
                retry_after_s=self._settings.http.retry_after_s,
            ) from error
        wanted = scopes_of(method, path)
        if not identity.may(wanted):
            raise Forbidden(
                f"The API key may not do this: it needs the scope {' or '.join(sorted(wanted))}, "
                f"and has {', '.join(sorted(identity.scopes)) or 'none'}.",
                code="missing_scope",
            )
        return identity

    async def _known(self, keys: KeyBook, authorization: str) -> Identity:
        """Who asks where no key is needed."""
        try:
            return await keys.identify(authorization)
        except (DatabaseError, Unauthorized):
            return NOBODY

    async def _end_user(self, scope: Scope, authorization: str) -> Identity:
        token = bearer_of(authorization)
        if token is None:
            raise Unauthorized(
                "No feedback token was sent. Send one as `Authorization: Bearer fbt_…`; "
                "POST /v1/feedback/tokens makes one.",
                code="missing_token",
            )
        try:
            secret = await asyncio.to_thread(installation_secret, self._settings)
        except SettingsError as error:
            raise Unavailable(str(error), code="no_secret") from error
        grant = FeedbackTokens(secret).read(token)
        if self._keys is not None:
            await self._keys.check_project(grant.project_id)
        scope["state"]["grant"] = grant
        return Identity(grant.project_id, "end-user", frozenset())
