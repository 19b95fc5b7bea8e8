"""Few calls for many callers."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Gatherer"]

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """Runs what many callers submit in calls of up to `limit` weight, `parallel` at a time.

    There is no timer: a first item goes at once, and while calls run the next ones gather. So a
    single small file waits for nobody, and a thousand of them share a few calls. An item heavier
    than `limit` goes alone. What waits is bounded by its callers, who all wait for their results.

    When a call fails, its items are tried once more one by one, so that a bad item fails its own
    caller only; errors of the kinds `shared` are everybody's and are not.
    """

    def __init__(
        self,
        call: Callable[[list[T]], Awaitable[Sequence[R]]],
        *,
        weight: Callable[[T], int] = lambda item: 1,
        limit: int,
        parallel: int = 1,
        shared: tuple[type[Exception], ...] = (),
    ) -> None:
        self._shared = shared
        self._call = call
        self._weight = weight
        self._limit = limit
        self._parallel = parallel
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, items: Sequence[T]) -> list[R]:
        """Return the results of `items`, in order. Raises what the call raised for them.

        A caller that is cancelled takes back what has not been started.
        """
        if not items:
            return []
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R]] = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        self._start()
        try:
            return list(await asyncio.gather(*futures))
        finally:
            for future in futures:
                future.cancel()

    async def running_calls(self) -> None:
        """Wait for the calls that run now, also those whose callers have given up."""
        if self._running:
            await asyncio.wait(set(self._running))

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._parallel:
            if batch := self._next():
                task = asyncio.create_task(self._run(batch))
                self._running.add(task)
                task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._start()

    def _next(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        total = 0
        while self._waiting:
            item, future = self._waiting[0]
            if not future.done():
                weight = self._weight(item)
                if batch and total + weight > self._limit:
                    break
                batch.append((item, future))
                total += weight
            self._waiting.popleft()
        return batch

    async def _run(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            results = await self._call([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to the callers, whatever it is
            await self._run_apart(batch, error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _run_apart(
        self, batch: list[tuple[T, "asyncio.Future[R]"]], error: Exception
    ) -> None:
        """Give each item its own answer: that of a call for it alone, unless this was one."""
        for item, future in batch:
            if future.done():
                continue
            if len(batch) == 1 or isinstance(error, self._shared):
                future.set_exception(error)
            else:
                await self._run([(item, future)])
