"""When the tokens of a stream are sent: the first at once, later ones together under load.

Every message from a replica costs the same work in the replica and in the gateway, however many
tokens it holds. One reader wants each token as it comes; with many readers on the same cores that
work is taken from the engine.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

__all__ = ["coalesced", "tokens_a_message"]

QUIET_STREAMS: Final = 4
"""Up to this many streams, each token is a message."""
FULL_LOAD_STREAMS: Final = 12
"""From this many streams on, a message holds as many tokens as it ever does."""
MOST_TOKENS: Final = 4
AT_ONCE: Final = 2
"""Messages that are never held back: the role and the first token."""


def tokens_a_message(active_streams: int) -> int:
    """How many tokens are sent together: 1 up to four streams, rising to 4 from twelve on."""
    share = (active_streams - QUIET_STREAMS) / (FULL_LOAD_STREAMS - QUIET_STREAMS)
    return 1 + round(min(1.0, max(0.0, share)) * (MOST_TOKENS - 1))


async def coalesced(
    events: AsyncGenerator[bytes, None],
    tokens: Callable[[], int],
    longest_s: float,
    beat_s: float | None = None,
) -> AsyncGenerator[bytes, None]:
    """Join `tokens()` events to a message. An empty one comes after `beat_s` without an event.

    No event is held longer than `longest_s` seconds after the message before it, even when no other
    follows, and none after the end. An error of `events` is raised once what came before it has
    been sent. Closing this iterator cancels `events` where it waits.
    """
    loop = asyncio.get_running_loop()
    source = _Source(events)
    sent, last = 0, 0.0
    try:
        while True:
            try:
                async with asyncio.timeout(beat_s):
                    if not await source.wait(1):
                        break
            except TimeoutError:
                yield b""
                continue
            if sent >= AT_ONCE and (delay := last + longest_s - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await source.wait(tokens())
            data = source.take()
            sent, last = sent + 1, loop.time()
            yield data
        source.raise_error()
    finally:
        await source.close()


class _Source:
    """Reads events in a task of its own, so that waiting for the next one can be given up."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self._events = events
        self._held: list[bytes] = []
        self._wanted = 1
        self._enough = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self._events:
                self._held.append(event)
                if len(self._held) >= self._wanted:
                    self._enough.set()
        except Exception as error:  # noqa: BLE001 - the edge of the task: raised by raise_error()
            self._error = error
        finally:
            self._ended = True
            self._enough.set()

    async def wait(self, count: int) -> bool:
        """Wait for `count` held events or the end; whether there are any."""
        self._wanted = count
        if len(self._held) < count and not self._ended:
            self._enough.clear()
            await self._enough.wait()
        return bool(self._held)

    def take(self) -> bytes:
        """All events that are held, joined."""
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        return data

    def raise_error(self) -> None:
        """Raise what ended the events, if it was an error."""
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Stop reading and wait until the events have been closed."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._events.aclose()
