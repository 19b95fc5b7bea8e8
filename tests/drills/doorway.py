"""A proxy on loopback that is a bad way to a server, when it is told to be."""

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Final, Literal

__all__ = ["Doorway", "Way"]

Way = Literal["open", "slow", "shut", "silent"]
"""`slow`: each piece of a request waits. `shut`: connections are closed at once. `silent`: they are
taken, and nothing comes back."""
_PIECE: Final = 65536


class Doorway:
    """Passes bytes on to `port`, both ways."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._stop = asyncio.Event()
        self.port = 0
        """Where it listens."""
        self._way: Way = "open"
        self._delay_s = 0.0
        self._changed = asyncio.Event()

    def become(self, way: Way, delay_s: float = 0.0) -> None:
        """Be such a way from now on; from any thread. `delay_s`: of each piece while it is slow."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._become, way, delay_s)

    def __enter__(self) -> "Doorway":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _become(self, way: Way, delay_s: float) -> None:
        self._way, self._delay_s = way, delay_s
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._stop.wait()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            if self._way == "shut":
                return
            try:
                inner, outer = await asyncio.open_connection("127.0.0.1", self._target)
            except OSError:
                return
            with contextlib.closing(outer):
                ways = {
                    asyncio.create_task(self._pump(reader, outer)),
                    asyncio.create_task(self._pump(inner, writer)),
                    asyncio.create_task(self._shut()),
                }
                _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for task in rest:
                    task.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                while self._way == "silent":
                    await self._changed.wait()
                if self._way == "slow":
                    await asyncio.sleep(self._delay_s)
                writer.write(piece)
                await writer.drain()

    async def _shut(self) -> None:
        while self._way != "shut":
            await self._changed.wait()
