"""Every error as OpenAI's body: `{"error": {"message", "type", "param", "code"}}`."""

import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from cluster.errors import (
    DatabaseError,
    DatabaseFull,
    StorageError,
    StorageFull,
    VectorDatabaseError,
)
from deployments.errors import InvalidRequest, NotFound, QuotaExceeded, RequestError, Unavailable
from deployments.gateway.request_context import current_trace
from ingestion.chunking import StrategyError

__all__ = [
    "ErrorBody",
    "error_events",
    "error_response",
    "install_error_handlers",
    "internal_error",
    "internal_error_response",
]

_log = logging.getLogger(__name__)
_SHOWN: Final = 120
_RETRY_S: Final = 2
"""Where who raised a 429 or 503 does not say when to come back."""
_NO_FILE: Final = "Expected UploadFile"
"""The framework's word for a plain field in a file's place; it names a class."""
_PLACES: Final = frozenset({"body", "query", "path", "header", "cookie"})
_LENGTHS: Final = {"too_short": ("least", "min_length"), "too_long": ("most", "max_length")}


class ErrorFields(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every error of this API, as at OpenAI."""

    error: ErrorFields


def error_response(error: RequestError) -> JSONResponse:
    """Make the response to an error that the client may know, with the headers that it asks for.

    RFC 9110: a 401 says which credential is wanted; a 429 or 503 when to come back.
    """
    # A message may repeat half of a surrogate pair, which no body can carry.
    error.message = error.message.encode(errors="backslashreplace").decode()
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    elif error.status in {429, 503} and not isinstance(error, QuotaExceeded):
        headers["Retry-After"] = str(_RETRY_S)
    if isinstance(error, QuotaExceeded):
        headers["x-should-retry"] = "false"  # OpenAI's clients try a 429 again by themselves
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


def error_events(error: RequestError) -> bytes:
    """How a stream ends that was begun well: OpenAI's clients raise the first event."""
    return f"data: {json.dumps(error.body())}\n\ndata: [DONE]\n\n".encode()


def internal_error(request_id: str) -> RequestError:
    """An error of which the client learns only where to find it."""
    return RequestError(
        f"The server failed. Its log has the reason under request id {request_id}.",
        code="internal_error",
    )


def internal_error_response(request_id: str) -> JSONResponse:
    """Make the response to it."""
    return error_response(internal_error(request_id))


def install_error_handlers(app: FastAPI, retry_after_s: int) -> None:
    """Map what the routes and the framework raise."""

    def traced(request: Request, error: RequestError) -> JSONResponse:
        current_trace(request).fail(error)
        return error_response(error)

    async def known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestError)  # noqa: S101 - Starlette's types are wider
        busy = error.status in {429, 503} and not isinstance(error, QuotaExceeded)
        if busy and error.retry_after_s is None:
            error.retry_after_s = retry_after_s
        return traced(request, error)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return traced(request, _validation_error(error.errors(), error.body))

    async def framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        return _framework_response(request, error)

    async def not_storable(_request: Request, _error: Exception) -> JSONResponse:
        return error_response(InvalidRequest("A value cannot be stored: it is not valid text."))

    async def part_down(request: Request, error: Exception) -> JSONResponse:
        _log.error("Request %s met a part that is down: %s", request.state.request_id, error)
        part = _PARTS[type(error)]
        return traced(
            request,
            Unavailable(
                f"{part} cannot be reached; GET /readyz says which part is down.",
                code="part_unavailable",
                retry_after_s=retry_after_s,
            ),
        )

    async def full(request: Request, error: Exception) -> JSONResponse:
        _log.error("Request %s met a full disk: %s", request.state.request_id, error)
        return traced(
            request,
            Unavailable(
                "The server has no space left for this. Nothing was kept of it; send it again once "
                "its operator has made room.",
                code="storage_full",
                retry_after_s=retry_after_s,
            ),
        )

    app.add_exception_handler(RequestError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(DataError, not_storable)
    for kind in _PARTS:
        app.add_exception_handler(kind, part_down)
    app.add_exception_handler(DatabaseFull, full)
    app.add_exception_handler(StorageFull, full)


_PARTS: Final[dict[type[Exception], str]] = {
    DatabaseError: "The database",
    StorageError: "The byte store",
    VectorDatabaseError: "The vector database",
}


def _framework_response(request: Request, error: HTTPException) -> JSONResponse:
    if error.status_code == 404:
        return error_response(
            NotFound(
                f"Unknown request URL: {request.method} {request.url.path}. GET /docs lists them.",
                code="unknown_url",
            )
        )
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method} is not allowed on {request.url.path}; allowed: {allowed}."
        code = "method_not_allowed"
    else:
        message, code = str(error.detail), "invalid_request"
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": body}, status_code=error.status_code, headers=error.headers)


def _validation_error(errors: Sequence[Any], body: Any) -> InvalidRequest:
    """One error of the field that is wrong; alternatives of a union are told together."""
    first = errors[0]
    if first["type"] == "json_invalid":
        reason = (first.get("ctx") or {}).get("error", "")
        return InvalidRequest(f"The request body is not valid JSON: {reason}.", code="invalid_json")
    if first["type"] not in {
        "missing",
        "extra_forbidden",
    }:  # a union: the member that came furthest
        first = max(
            (error for error in errors if error["loc"][:2] == first["loc"][:2]),
            key=lambda error: len((_field(error, body) or "").split(".")),
        )
    param = _field(first, body)
    messages = []
    for error in errors:
        text = _reason(error)
        if _field(error, body) == param and text not in messages:
            messages.append(text)
    said = " Or: ".join(messages)
    if first["type"] == "missing":
        return InvalidRequest(
            f"{param or 'The request body'} is required.", param=param, code="missing_parameter"
        )
    if first["type"] == "extra_forbidden":
        return InvalidRequest(f"Unknown parameter: {param}.", param=param, code="unknown_parameter")
    if _NO_FILE in said:
        param = str(first["loc"][-1])
        return InvalidRequest(
            f"{param} must be a part of the form that has a file name.",
            param=param,
            code="invalid_value",
        )
    if isinstance(wrong := (first.get("ctx") or {}).get("error"), StrategyError):
        path = f"{(param or '').removesuffix('chunking_strategy')}{wrong.param}"
        return InvalidRequest(str(wrong), param=path, code="invalid_value")
    shown = repr(first.get("input"))
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "…"
    return InvalidRequest(
        f"{param or 'The request body'} is {shown}. {said}.", param=param, code="invalid_value"
    )


def _reason(error: dict[str, Any]) -> str:
    """What pydantic says, without its full stop.

    Behind a validator it counts a string's characters as items of a list: said as for strings.
    """
    if error["type"] in _LENGTHS and isinstance(error.get("input"), str):
        end, key = _LENGTHS[error["type"]]
        bound = error["ctx"][key]
        return f"String should have at {end} {bound} character{'' if bound == 1 else 's'}"
    return str(error["msg"]).removeprefix("Value error, ").rstrip(".")


def _field(error: dict[str, Any], body: Any) -> str | None:
    """Return the field's dotted name, without the names that pydantic gives to union members."""
    location = list(error["loc"])
    if location and location[0] in _PLACES:
        place = location.pop(0)
        if place != "body":
            return ".".join(str(part) for part in location) or None
    parts: list[str] = []
    value = body
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        elif not (last and error["type"] == "missing"):
            continue
        parts.append(str(part))
    return ".".join(parts) or None
