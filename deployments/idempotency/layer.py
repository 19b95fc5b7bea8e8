"""The ASGI layer that carries out a request with an `Idempotency-Key` once.

What is guaranteed, for a key of a project and the hours that keys are kept:

- At most one attempt commits. Its first transaction that writes also writes the key's row, so that
  a gateway killed before it leaves nothing, and one killed after it leaves word of it.
- The first attempt goes on to its end when its client has gone.
- A later request gets the same answer; where the gateway was killed between the commit and the
  keeping of the answer, what was made as it is now, and where that has no address of its own, 409.
- An answer of an error that made nothing is not kept: the request may be sent again.
"""

import asyncio
import contextlib
import logging
import re
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.errors import DatabaseError
from cluster.fencing import fenced_by
from cluster.tenancy import acting_project
from deployments.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    RequestError,
    Unavailable,
    Unprocessable,
)
from deployments.gateway.error_bodies import error_response
from deployments.idempotency.answer import Answer
from deployments.idempotency.body_digest import BodyDigest
from deployments.idempotency.claims import Claim, Claims, Known
from deployments.idempotency.covered import is_covered, shows_secret
from deployments.limits.fair_places import FairPlaces

__all__ = ["Idempotency"]

_log = logging.getLogger(__name__)
_HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5
_WAITING: Final = 64
"""Places of one gateway for requests that wait for earlier ones of their keys."""


class Idempotency:
    """See the module. Stands inside the layers that say who asks and how large a body may be."""

    def __init__(self, app: ASGIApp, claims: Claims, *, wait_s: float, longest_s: float) -> None:
        """`longest_s`: so long an attempt may take, whether or not its client still waits."""
        self._app = app
        self._claims = claims
        self._wait_s = wait_s
        self._longest_s = longest_s
        self._places: Final = FairPlaces(_WAITING)
        self._running: set[asyncio.Task[Answer]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        key = Headers(scope=scope).get(_HEADER) if scope["type"] == "http" else None
        if key is None or not is_covered(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            _check(key)
            try:
                found = await self._claimed(key, f"POST {scope['path']}"[:256])
            except DatabaseError as error:
                raise Unavailable(
                    "The Idempotency-Key cannot be looked up now.",
                    code="part_unavailable",
                    retry_after_s=1,
                ) from error
            if isinstance(found, Claim):
                await self._carry_out(found, scope, receive, send)
            else:
                await (await self._replayed(found, scope, receive)).send(send)
        except RequestError as error:
            scope["state"]["trace"].fail(error)
            response = error_response(error)
            if isinstance(error, Conflict) and error.retry_after_s is None:
                response.headers["x-should-retry"] = "false"  # OpenAI's clients retry every 409
            await response(scope, receive, send)

    async def _claimed(self, key: str, route: str) -> Claim | Known:
        """Claim it, or wait until it is known what came of it. Raises Conflict, DatabaseError."""
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + self._wait_s, _FIRST_PAUSE_S
        found = await self._claims.claim(key, route)
        if isinstance(found, Claim) or found.settled:
            return found
        project = acting_project()
        if not self._places.take(project):
            raise _in_use()
        try:
            while clock() < deadline:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                seen = await self._claims.look(key)
                if seen is not None and seen.running:
                    continue
                found = await self._claims.claim(key, route)
                if isinstance(found, Claim) or found.settled:
                    return found
        finally:
            self._places.leave(project)
        raise _in_use()

    async def _carry_out(self, claim: Claim, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(send)
        work = asyncio.create_task(self._work(claim, answer, scope, receive))
        self._running.add(work)
        work.add_done_callback(self._ended)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            if answer.streamed:  # nobody reads on
                work.cancel()
            raise
        await answer.send(send)

    def _ended(self, work: asyncio.Task[Answer]) -> None:
        self._running.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            _log.info("A request with an Idempotency-Key failed: %s", type(error).__name__)

    async def _work(self, claim: Claim, answer: Answer, scope: Scope, receive: Receive) -> Answer:
        digest = BodyDigest(scope)
        keeper = asyncio.create_task(self._renew(claim))
        try:
            async with asyncio.timeout(self._longest_s):
                with fenced_by(claim.fence(digest)):
                    await self._app(scope, digest.reading(receive), answer.take)
                if not answer.streamed:
                    await digest.drain(receive)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"The request took longer than {self._longest_s:g} s.", code="deadline_exceeded"
            ) from error
        finally:
            keeper.cancel()
            with contextlib.suppress(DatabaseError):  # the lease lapses, and the row says the rest
                await self._settle(claim, digest, answer, scope["path"])
        return answer

    async def _settle(self, claim: Claim, digest: BodyDigest, answer: Answer, path: str) -> None:
        if answer.is_whole and answer.status < 400:
            kept = None if shows_secret(path) else answer.text()
            await claim.finish(digest, answer.status, kept)
        else:
            await claim.release()

    async def _renew(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self._claims.lease_s / 3)
            with contextlib.suppress(DatabaseError):
                await claim.renew()

    async def _replayed(self, known: Known, scope: Scope, receive: Receive) -> Answer:
        digest = BodyDigest(scope)
        await digest.drain(receive)
        if known.digest and digest.value() != known.digest:
            raise Unprocessable(
                "This Idempotency-Key came with another request before. Use a new key for a new "
                "request.",
                param=_HEADER,
                code="idempotency_key_reused",
            )
        if shows_secret(scope["path"]):
            raise Conflict(
                f"The key was made by the first request ({', '.join(known.made or ())}), and is "
                "shown once. Revoke it, and make another.",
                param=_HEADER,
                code="idempotency_answer_shown_once",
            )
        if known.status is not None and known.answer is not None:
            return Answer.again(known.status, known.answer)
        for name in known.made or ():
            if (answer := await self._retrieved(scope, name)) is not None:
                return answer
        raise Conflict(
            "The request of this Idempotency-Key was carried out, and its answer is not known any "
            f"more. What it made: {', '.join(known.made or ()) or 'nothing new'}.",
            param=_HEADER,
            code="idempotency_answer_lost",
        )

    async def _retrieved(self, scope: Scope, name: str) -> Answer | None:
        """What `GET PATH/NAME` answers this client; None where there is nothing."""
        path = f"{scope['path'].rstrip('/')}/{quote(name, safe='')}"
        asked = {**scope, "method": "GET", "path": path, "raw_path": path.encode()}
        answer = Answer()

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self._app({**asked, "query_string": b""}, nothing, answer.take)
        if answer.status != 200 or not answer.is_whole:
            return None
        return Answer.again(200, answer.text())


def _check(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"The Idempotency-Key has {len(key)} characters; it is 1 to 255 printable ASCII ones.",
            param=_HEADER,
            code="invalid_value",
        )


def _in_use() -> Conflict:
    return Conflict(
        "A request with this Idempotency-Key is being carried out. Send it again in a moment.",
        param=_HEADER,
        code="idempotency_key_in_use",
        retry_after_s=1,
    )
