"""Models over HTTP: the gateway's, as background work that gives way, and those outside."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from cluster.errors import ApiError, UnreachableError
from deployments.gateway.token_estimate import told_tokens

if TYPE_CHECKING:
    import httpx

    from deployments.evaluation.runs.metering import OutsideMeter

__all__ = ["BACKGROUND_HEADERS", "HttpModels", "ModelRoutes", "Reply"]

BACKGROUND_HEADERS: Final = {"x-everloop-priority": "background"}
"""What the gateway lets wait behind the requests of users."""
_BUSY: Final = frozenset({429, 502, 503})
_BROKEN: Final = frozenset({500, 504})
_BROKEN_TRIES: Final = 3
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP."""

    body: dict[str, Any]
    trace_id: str | None
    seconds: float
    """Of the request that succeeded, without those before it."""


class HttpModels:
    """One OpenAI API. At most `concurrency` requests are in flight.

    Busy or away (429, 502, 503, no connection) is waited for, as Retry-After says, up to
    `patience_s` seconds for one answer; a server's own failure is tried again twice; a refusal is
    final. `key` may make one for each request; `verify` is httpx's.
    """

    def __init__(
        self,
        base_url: str,
        *,
        concurrency: int,
        patience_s: float,
        request_timeout_s: float,
        headers: Mapping[str, str] | None = None,
        key: str | Callable[[], str] | None = None,
        verify: ssl.SSLContext | bool = True,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        import httpx

        self._base_url = base_url.rstrip("/")
        self._patience_s = patience_s
        self._room = asyncio.Semaphore(concurrency)
        self._key = key
        self._http = httpx.AsyncClient(
            headers=dict(headers or {}),
            timeout=httpx.Timeout(request_timeout_s, connect=5.0),
            limits=httpx.Limits(max_connections=concurrency + 2),
            verify=verify,
            transport=transport,
            trust_env=False,  # a proxy of the environment is not meant for this
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `deployments.evaluation.toolbox.ChatCaller`."""
        return (await self.post("/chat/completions", body)).body

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """POST `body`. Raises ApiError and UnreachableError."""
        return await self._ask("POST", path, dict(body))

    async def get(self, path: str) -> Reply:
        """GET. Raises ApiError and UnreachableError."""
        return await self._ask("GET", path, None)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Reply:
        deadline = time.monotonic() + self._patience_s
        pause, broken = _FIRST_PAUSE_S, 0
        while True:
            try:
                async with self._room:
                    return await self._ask_once(method, path, body)
            except _TryAgain as again:
                broken += again.broken
                wait = min(pause if again.after_s is None else again.after_s, _LONGEST_PAUSE_S)
                if broken >= _BROKEN_TRIES or time.monotonic() + wait >= deadline:
                    raise again.reason from None
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _ask_once(self, method: str, path: str, body: dict[str, Any] | None) -> Reply:
        import httpx

        url = self._base_url + path
        started = time.perf_counter()
        try:
            answer = await self._http.request(method, url, json=body, headers=self._bearer())
        except httpx.TimeoutException as error:
            late = ApiError(f"{url} did not answer in time.", status=504)
            raise _TryAgain(late, broken=not isinstance(error, httpx.ConnectTimeout)) from error
        except httpx.TransportError as error:
            gone = UnreachableError(f"{url} cannot be reached: {type(error).__name__}: {error}")
            raise _TryAgain(gone) from error
        seconds = time.perf_counter() - started
        if answer.status_code >= 400:
            raise _refusal(url, answer)
        try:
            read = answer.json()
        except ValueError as error:
            raise ApiError(f"{url} answered no JSON.", status=answer.status_code) from error
        if not isinstance(read, dict):
            raise ApiError(f"{url} answered no JSON object.", status=answer.status_code)
        return Reply(read, answer.headers.get("x-trace-id"), seconds)

    def _bearer(self) -> dict[str, str]:
        key = self._key() if callable(self._key) else self._key
        return {"authorization": f"Bearer {key}"} if key else {}


class ModelRoutes:
    """Models by name: those outside by their own API, all others by the gateway's.

    The gateway counts what its models use; `meter` counts the others.
    """

    def __init__(
        self,
        gateway: HttpModels,
        outside: Mapping[str, tuple[HttpModels, str]],
        meter: "OutsideMeter | None" = None,
    ) -> None:
        """`outside`: by the name that graders use, the API and its own name for the model."""
        self._gateway = gateway
        self._outside = outside
        self._meter = meter

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `deployments.evaluation.toolbox.ChatCaller`."""
        return (await self.post("/chat/completions", body)).body

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """POST to the API of the body's model. Raises ApiError and UnreachableError."""
        asked = str(body.get("model"))
        if asked not in self._outside:
            return await self._gateway.post(path, body)
        api, name = self._outside[asked]
        told = {**body, "model": name}
        if self._meter is None:
            return await api.post(path, told)
        async with self._meter.call(body, asked) as reserved:
            reply = await api.post(path, told)
            reserved.used(*told_tokens(reply.body, reserved.prompt_tokens))
            return reply

    async def get(self, path: str) -> Reply:
        """GET from the gateway."""
        return await self._gateway.get(path)

    async def close(self) -> None:
        """Close every connection."""
        for api in {self._gateway, *(api for api, _ in self._outside.values())}:
            await api.close()
        if self._meter is not None:
            await self._meter.close()


class _TryAgain(Exception):
    def __init__(
        self,
        reason: ApiError | UnreachableError,
        *,
        broken: bool = False,
        after_s: float | None = None,
    ) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.broken = broken
        self.after_s = after_s


def _refusal(url: str, answer: "httpx.Response") -> Exception:
    status = answer.status_code
    error = ApiError(f"{url} answered {status}: {_message(answer)}", status=status)
    if status in _BUSY:
        return _TryAgain(error, after_s=_retry_after(answer.headers.get("retry-after")))
    return _TryAgain(error, broken=True) if status in _BROKEN else error


def _message(answer: "httpx.Response") -> str:
    try:
        told = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        told = answer.text
    return str(told)[:2000]


def _retry_after(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None  # a date: our own pause will do
