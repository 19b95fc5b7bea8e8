"""Work from many callers in batches of bounded size, most urgent first."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar, cast

from deployments.errors import Overloaded, RequestError, Unavailable, Unprocessable

__all__ = ["Batcher"]

T = TypeVar("T")
R = TypeVar("R")
_LOOKAHEAD: Final = 128
_RETRY_AFTER_S: Final = 2


class _Job(Generic[R]):
    """One call's results as they come in."""

    def __init__(self, count: int, future: "asyncio.Future[list[R]]") -> None:
        self._results: dict[int, R] = {}
        self._count = count
        self.future = future

    def take(self, index: int, result: R) -> None:
        self._results[index] = result
        if len(self._results) == self._count and not self.future.done():
            self.future.set_result([self._results[i] for i in range(self._count)])


class Batcher(Generic[T, R]):
    """Runs items of many calls through `run`, `workers` batches at a time, in threads of its own.

    A batch holds items of the lowest priority number that waits: the oldest one and those next to
    it in size, as many as keep `number of items * largest size` within `batch_size`. So urgent
    work waits for at most the batches that are running. Items of cancelled calls are dropped.

    When a batch fails, its items are run one by one: one that fails while another does not is at
    fault itself, and nobody else hears of it.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R]],
        *,
        size: Callable[[T], int],
        batch_size: int,
        max_queued: int,
        name: str,
        workers: int = 1,
    ) -> None:
        self._run = run
        self._size = size
        self._batch_size = batch_size
        self._max_queued = max_queued
        self._queues: dict[int, list[tuple[T, int, _Job[R]]]] = {}
        self._thread = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._workers = workers
        self._working: set[asyncio.Task[None]] = set()

    @property
    def queued(self) -> int:
        """Items that wait."""
        return sum(len(queue) for queue in self._queues.values())

    async def submit(self, items: Sequence[T], *, priority: int = 0) -> list[R]:
        """Return one result per item, in order.

        Raises Overloaded when more than `max_queued` would wait; an empty queue takes any call.
        Raises Unavailable when `run` fails, Unprocessable when it fails at an item of these, and a
        RequestError of `run` as it is.
        """
        if not items:
            return []
        waiting = self.queued
        if waiting and waiting + len(items) > self._max_queued:
            raise Overloaded(
                f"{waiting} texts wait to be embedded and {len(items)} more were sent; "
                f"the queue holds {self._max_queued}.",
                code="embedder_overloaded",
                retry_after_s=_RETRY_AFTER_S,
            )
        job: _Job[R] = _Job(len(items), asyncio.get_running_loop().create_future())
        queue = self._queues.setdefault(priority, [])
        queue.extend((item, index, job) for index, item in enumerate(items))
        for _ in range(min(self._workers - len(self._working), len(items))):
            self._working.add(asyncio.create_task(self._drain()))
        return await job.future

    def close(self) -> None:
        """Finish the running batches and take no more."""
        self._queues.clear()
        self._thread.shutdown(wait=True)

    async def _drain(self) -> None:
        try:
            while batch := self._next():
                await self._work(batch)
        finally:
            # Here, not in a callback of the task: a caller that is told of its results and at once
            # submits again would wait for a worker that has found the queues empty.
            self._working.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _work(self, batch: "list[tuple[T, int, _Job[R]]]") -> None:
        error = await self._tried(batch)
        if error is None:
            return
        failed = [(batch[0], error)]
        if len(batch) > 1:
            apart = [(entry, await self._tried([entry])) for entry in batch]
            failed = [(entry, why) for entry, why in apart if why is not None]
        works = len(failed) < len(batch)
        for (_, _, job), why in failed:
            if not job.future.done():
                job.future.set_exception(_told(why, works))

    async def _tried(self, batch: "list[tuple[T, int, _Job[R]]]") -> Exception | None:
        """Run a batch; returns what went wrong."""
        items = [item for item, _, _ in batch]
        try:
            results = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._run, items
            )
        except Exception as error:  # noqa: BLE001 - the model's edge: its callers must hear of it
            return error
        for (_, index, job), result in zip(batch, results, strict=True):
            job.take(index, result)
        return None

    def _next(self) -> list[tuple[T, int, _Job[R]]]:
        for priority in sorted(self._queues):
            queue = [entry for entry in self._queues[priority] if not entry[2].future.done()]
            if not queue:
                self._queues[priority] = queue
                continue
            chosen = self._choose([self._size(item) for item, _, _ in queue[:_LOOKAHEAD]])
            self._queues[priority] = [entry for i, entry in enumerate(queue) if i not in chosen]
            return [queue[i] for i in sorted(chosen)]
        return []

    def _choose(self, sizes: Sequence[int]) -> set[int]:
        """Pick the oldest item, then the nearest to it in size while the batch has room."""
        nearest = sorted(range(len(sizes)), key=lambda i: (abs(sizes[i] - sizes[0]), i))
        chosen, largest = {0}, sizes[0]
        for i in nearest:
            largest = max(largest, sizes[i])
            if i == 0:
                continue
            if largest * (len(chosen) + 1) > self._batch_size:
                break
            chosen.add(i)
        return chosen


def _told(why: Exception, works: bool) -> RequestError:
    """What a caller hears; `works`: the model does, with other items."""
    if isinstance(why, RequestError):
        return why
    return _at_fault(why) if works else _failure(why)


def _at_fault(error: Exception) -> Unprocessable:
    return Unprocessable(
        f"The embedding model fails at this text, and not at others: {error}",
        code="embedding_failed",
    )


def _failure(error: Exception) -> Unavailable:
    return Unavailable(f"The embedding model failed: {error}", retry_after_s=_RETRY_AFTER_S)
