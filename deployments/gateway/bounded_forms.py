"""Forms of one file and a few short fields.

The framework takes a thousand of each, and holds those of up to a mebibyte in memory: half a
gigabyte for one request of the size that a file may have.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

if TYPE_CHECKING:
    from starlette._utils import AwaitableOrContextManager

__all__ = ["BoundedForms"]

_FILES: Final = 1
_FIELDS: Final = 32
_FIELD_BYTES: Final = 64 * 1024


class BoundedForms(APIRoute):
    """A route whose form is read within these bounds; 400 for another."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(_BoundedRequest(request.scope, request.receive))

        return bounded


class _BoundedRequest(Request):
    def form(
        self,
        *,
        max_files: float = _FILES,
        max_fields: float = _FIELDS,
        max_part_size: int = _FIELD_BYTES,
    ) -> "AwaitableOrContextManager[FormData]":
        return super().form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
