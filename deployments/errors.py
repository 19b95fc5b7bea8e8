"""Errors of the answer path. The gateway turns each into OpenAI's error body.

RequestError                  status, message, type, param, code: what the client is told
├── InvalidRequest            400, `param` names the field
│   └── InvalidDataset        400, with every problem of the data in `problems`
├── Unauthorized              401
├── Forbidden                 403
├── NotFound                  404
├── Conflict                  409
├── PayloadTooLarge           413
├── UnsupportedMedia          415
├── Unprocessable             422
├── Overloaded                429, with `retry_after_s`
├── QuotaExceeded             429: what a month or a project may use is used up
├── Unavailable               503, with `retry_after_s`
└── DeadlineExceeded          504
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from cluster.errors import EverloopError

__all__ = [
    "ENGINE_FAILED",
    "REPLICA_STARTING",
    "Conflict",
    "DeadlineExceeded",
    "Forbidden",
    "InvalidDataset",
    "InvalidRequest",
    "NotFound",
    "Overloaded",
    "PayloadTooLarge",
    "QuotaExceeded",
    "RequestError",
    "Unauthorized",
    "Unavailable",
    "Unprocessable",
    "UnsupportedMedia",
]


ENGINE_FAILED: Final = "engine_failed"
"""The code of an error of a model's replica that another replica may not have."""
REPLICA_STARTING: Final = "replica_starting"
"""The code where no replica runs, and one is about to."""


class RequestError(EverloopError):
    """An error that the client is told about, as OpenAI's error body. It crosses processes."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, dict[str, Any]]:
        """OpenAI's error body."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between replicas."""
        return (_rebuild, (type(self), self.message, self.param, self.code, self.retry_after_s))


def _rebuild(
    cls: type[RequestError],
    message: str,
    param: str | None,
    code: str | None,
    retry_after_s: int | None,
) -> RequestError:
    return cls(message, param=param, code=code, retry_after_s=retry_after_s)


class InvalidRequest(RequestError):
    """A field has a value that is not allowed."""

    status = 400
    type = "invalid_request_error"


class InvalidDataset(InvalidRequest):
    """Data has problems. The body lists them as `line`, `field` and `message`."""

    def __init__(
        self,
        message: str,
        problems: Sequence[dict[str, Any]],
        more: int,
        *,
        param: str = "file",
        code: str = "invalid_training_file",
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.problems = tuple(problems)
        self.more = more
        """Problems beyond those that are listed."""

    def body(self) -> dict[str, dict[str, Any]]:
        """OpenAI's error body, with `problems` and `more_problems`."""
        error = super().body()["error"]
        return {"error": {**error, "problems": self.problems, "more_problems": self.more}}

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between replicas."""
        return (_rebuild_dataset, (self.message, self.problems, self.more, self.param, self.code))


def _rebuild_dataset(
    message: str, problems: Sequence[dict[str, Any]], more: int, param: str, code: str
) -> InvalidDataset:
    return InvalidDataset(message, problems, more, param=param, code=code)


class Unauthorized(RequestError):
    """The credential is missing, not valid or expired."""

    status = 401
    type = "invalid_request_error"


class Forbidden(RequestError):
    """The credential is valid and does not allow this."""

    status = 403
    type = "invalid_request_error"


class NotFound(RequestError):
    """No such object in this project."""

    status = 404
    type = "invalid_request_error"


class Conflict(RequestError):
    """The object is not, or is no longer, as the request takes it to be."""

    status = 409
    type = "invalid_request_error"


class PayloadTooLarge(RequestError):
    """The body or file is larger than allowed."""

    status = 413
    type = "invalid_request_error"


class UnsupportedMedia(RequestError):
    """The content type is not one this route reads."""

    status = 415
    type = "invalid_request_error"


class Unprocessable(RequestError):
    """Well-formed, and still impossible to carry out."""

    status = 422
    type = "invalid_request_error"


class Overloaded(RequestError):
    """The queue is full."""

    status = 429
    type = "rate_limit_error"


class QuotaExceeded(RequestError):
    """What may be used of something is used up; asking again soon does not help."""

    status = 429
    type = "insufficient_quota"


class Unavailable(RequestError):
    """A part that the request needs is down."""

    status = 503
    type = "server_error"


class DeadlineExceeded(RequestError):
    """The request took longer than its deadline."""

    status = 504
    type = "server_error"
