"""Stored bytes as the body of an answer."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from cluster.storage import CHUNK_BYTES, ByteStore

__all__ = ["send_stored"]


async def send_stored(
    store: ByteStore, key: str, size: int, filename: str | None = None
) -> StreamingResponse:
    """Send the `size` bytes under `key` in pieces, to be saved as `filename` where one is given.

    Raises StorageError where they are not there: before anything is sent.
    """
    source = await asyncio.to_thread(store.open, key)

    def pieces() -> Iterator[bytes]:
        with source:
            while piece := source.read(CHUNK_BYTES):
                yield piece

    headers = {"content-length": str(size), "x-content-type-options": "nosniff"}
    if filename is not None:
        headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(filename)}"
    return StreamingResponse(
        iterate_in_threadpool(pieces()), media_type="application/octet-stream", headers=headers
    )
