"""What pydantic says of a part of a request's body, as the client is told it."""

from typing import TYPE_CHECKING

from cluster.problems import key_of, problem_of
from deployments.errors import InvalidRequest

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["refusal"]


def refusal(error: "ValidationError", within: str) -> InvalidRequest:
    """Of the first field that is wrong; `within` is the part's own field."""
    first = error.errors()[0]
    return InvalidRequest(
        problem_of(first, within), param=key_of(first, within), code="invalid_value"
    )
