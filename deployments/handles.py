"""Serve handles as the ports of `deployments.ports`; errors are as `ray_errors` says."""

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Literal

from cluster.adapters import AdapterFiles
from cluster.tenancy import acting_project
from deployments.errors import REPLICA_STARTING, DeadlineExceeded, RequestError, Unavailable
from deployments.evaluator.messages import GradedAnswer, MadeReport
from deployments.model.delivery import Delivery
from deployments.model.messages import ModelCall, ModelLoad, Part
from deployments.ports import (
    EMBED_TIMEOUT_S,
    GRADE_TIMEOUT_S,
    NOTICE_TIMEOUT_S,
    PURGE_TIMEOUT_S,
    EmbeddedTexts,
)
from deployments.ray_errors import how_lost, translated
from deployments.retriever.messages import SearchRequest, SearchResult

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

__all__ = [
    "EmbedderHandle",
    "EvaluatorHandle",
    "IngestorHandle",
    "ModelHandle",
    "RetrieverHandle",
    "TrainerHandle",
]

_CHECK_TIMEOUT_S: Final = 5.0
_PREPARE_TIMEOUT_S: Final = 120.0
_LOAD_TIMEOUT_S: Final = 5.0
_TURNS: Final = 5
_log = logging.getLogger(__name__)


class _Part:
    """One deployment behind its handle; `name` is what messages call it."""

    name = "A part"

    def __init__(self, handle: "DeploymentHandle[Any]", *, retry_after_s: int = 2) -> None:
        self._handle = handle
        self._retry_after_s = retry_after_s

    async def _call(self, method: str, timeout_s: float, *args: Any, **kwargs: Any) -> Any:
        response = getattr(self._handle, method).remote(*args, **kwargs)
        try:
            async with asyncio.timeout(timeout_s):
                return await response
        except TimeoutError as error:
            response.cancel()
            raise DeadlineExceeded(
                f"{self.name} did not answer within {timeout_s:g} s.", code="part_too_slow"
            ) from error
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            raise translated(error, self.name, self._retry_after_s) from error

    async def _call_all(self, method: str, timeout_s: float, *args: Any) -> list[Any]:
        """What each running replica answered; raises the first error once all have ended."""
        from ray.serve.exceptions import DeploymentUnavailableError

        try:
            answers = await self._handle.broadcast(method, *args).results_async(
                timeout_s=timeout_s, return_exceptions=True
            )
        except DeploymentUnavailableError:
            return []
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{self.name} did not answer within {timeout_s:g} s.", code="part_too_slow"
            ) from error
        for answer in answers:
            if isinstance(answer, Exception):
                raise translated(answer, self.name, self._retry_after_s) from answer
        return list(answers)


class EmbedderHandle(_Part):
    """The Embedder as a TextEmbedder."""

    name = "The Embedder"

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        """Embed `texts`; see TextEmbedder."""
        embedded: EmbeddedTexts = await self._call(
            "embed", EMBED_TIMEOUT_S, list(texts), priority=priority
        )
        return embedded

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Decode token lists; see TextEmbedder."""
        lists = [list(item) for item in tokens]
        return list(await self._call("decode", EMBED_TIMEOUT_S, lists))

    async def late_interaction(self, query: str, documents: Sequence[str]) -> list[float]:
        """How well each document covers the query's tokens; see `Embedder.late_interaction`."""
        return list(await self._call("late_interaction", EMBED_TIMEOUT_S, query, list(documents)))

    async def dimension(self) -> int:
        """Length of the vectors."""
        return int(await self._call("dimension", EMBED_TIMEOUT_S))


class RetrieverHandle(_Part):
    """The Retriever as a PassageSearch."""

    name = "The Retriever"

    def __init__(
        self,
        handle: "DeploymentHandle[Any]",
        *,
        retry_after_s: int = 2,
        timeout_s: float = 30.0,
    ) -> None:
        super().__init__(handle, retry_after_s=retry_after_s)
        self._timeout_s = timeout_s

    async def search(self, request: SearchRequest) -> SearchResult:
        """Find passages; see PassageSearch."""
        found: SearchResult = await self._call("search", request.within(self._timeout_s), request)
        return found

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Relevance of each document; see PassageSearch."""
        return list(await self._call("rerank", self._timeout_s, query, list(documents)))

    async def contents(self, project_id: str, store_id: str, number: int) -> list[str]:
        """Return a document version's texts; see PassageSearch."""
        return list(await self._call("contents", self._timeout_s, project_id, store_id, number))

    async def check(self) -> None:
        """Raise unless Milvus answers; see PassageSearch."""
        await self._call("check", _CHECK_TIMEOUT_S)


class IngestorHandle(_Part):
    """The Ingestor as a DocumentQueue."""

    name = "The Ingestor"

    async def wake(self) -> None:
        """Say that there is work; see DocumentQueue."""
        await self._call("wake", NOTICE_TIMEOUT_S)

    async def purge(self, numbers: Sequence[int]) -> None:
        """Delete passages; see DocumentQueue."""
        await self._call("purge", PURGE_TIMEOUT_S, list(numbers))

    async def purge_project(self, project_id: str) -> int:
        """Delete all of a project's passages; see DocumentQueue."""
        return int(await self._call("purge_project", PURGE_TIMEOUT_S, project_id))


class EvaluatorHandle(_Part):
    """The Evaluator as an AnswerScorer. It acts for the project that asks."""

    name = "The Evaluator"

    async def submit(self, trace_id: str) -> bool:
        """Have a trace scored; see AnswerScorer."""
        return bool(await self._call("submit", NOTICE_TIMEOUT_S, trace_id))

    async def wake(self) -> None:
        """Say that runs changed; see AnswerScorer."""
        await self._call("wake", NOTICE_TIMEOUT_S)

    async def grade(
        self, grader: Mapping[str, Any], item: Mapping[str, Any], answer: str
    ) -> GradedAnswer:
        """Grade one answer; see AnswerScorer."""
        graded: GradedAnswer = await self._call(
            "grade", GRADE_TIMEOUT_S, dict(grader), dict(item), answer, acting_project()
        )
        return graded

    async def report(self, run_id: str) -> MadeReport:
        """Make a run's report; see AnswerScorer."""
        made: MadeReport = await self._call("report", GRADE_TIMEOUT_S, run_id, acting_project())
        return made

    async def compare(
        self, baseline: str, candidate: str, settings: Mapping[str, Any]
    ) -> MadeReport:
        """Compare two runs; see AnswerScorer."""
        made: MadeReport = await self._call(
            "compare", GRADE_TIMEOUT_S, baseline, candidate, dict(settings), acting_project()
        )
        return made


class TrainerHandle(_Part):
    """The Trainer as a TrainingQueue."""

    name = "The Trainer"

    async def wake(self) -> None:
        """Say that there is work; see TrainingQueue."""
        await self._call("wake", NOTICE_TIMEOUT_S)

    async def note_load(self, gateway: str, calls: Mapping[str, int]) -> None:
        """Tell the calls in flight; see TrainingQueue."""
        await self._call("note_load", NOTICE_TIMEOUT_S, gateway, dict(calls))


class ModelHandle(_Part):
    """One model's replicas as a ChatModel.

    A call that has nothing after `replica_wait_s` awaits `check`, which raises Unavailable where no
    replica will take it; so it does not wait its whole deadline for one that never comes.

    A call that a replica has begun is taken to another one when that replica is lost, or has not
    given a sign of life for `silence_s`; see `Delivery`. It waits for that one while its deadline
    allows: a replica that starts in the place of the lost one will do.
    """

    name = "The model"

    def __init__(
        self,
        handle: "DeploymentHandle[Any]",
        model_id: str,
        *,
        retry_after_s: int = 2,
        check: Callable[[], Awaitable[None]] | None = None,
        replica_wait_s: float = 20.0,
        silence_s: float = 10.0,
    ) -> None:
        super().__init__(handle.options(stream=True), retry_after_s=retry_after_s)
        self.name = f"Model {model_id}"
        self._check = check
        self._replica_wait_s = replica_wait_s if check is not None else None
        self._silence_s = silence_s
        self.in_flight = 0
        """Users' calls that have begun and not ended, those that wait for a replica included."""

    async def generate(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        """Run `call`. Leaving the iteration early, or being cancelled, cancels the replica's."""
        delivery = Delivery(call, self.name)
        self.in_flight += not call.background
        try:
            while not delivery.complete:
                try:
                    async with aclosing(self._one_replica(delivery)) as parts:
                        async for part in parts:
                            yield delivery.take(part)
                except _ReplicaLost as error:
                    reason = str(error)
                else:
                    reason = "its replica stopped in the middle"
                if not delivery.complete:
                    _log.warning("%s: request %s: %s", self.name, call.request_id, reason)
                    delivery.lose(reason)
        finally:
            self.in_flight -= not call.background

    async def _one_replica(self, delivery: Delivery) -> AsyncGenerator[Part, None]:
        """What one replica answers to what is left. Raises _ReplicaLost when it is lost."""
        response = self._handle.generate.remote(delivery.call)
        ended = False
        try:
            part = await self._first(response, delivery)
            while part is not None:
                if part.data:
                    yield part
                part = await self._next(response)
            ended = True
        except _ReplicaLost:
            raise
        except _NoReplica as error:
            raise error.reason from None
        except Exception as error:
            ended = True
            if (reason := how_lost(error)) is not None:
                raise _ReplicaLost(reason) from error
            raise translated(error, self.name, self._retry_after_s) from error
        finally:
            if not ended:
                response.cancel()

    async def prepare(self, adapter: AdapterFiles) -> int:
        """Load `adapter` on every replica; see ChatModel."""
        return len(await self._call_all("prepare", _PREPARE_TIMEOUT_S, adapter))

    async def forget(self, adapter_id: str) -> int:
        """Drop an adapter from every replica; see ChatModel."""
        return len(await self._call_all("forget", NOTICE_TIMEOUT_S, adapter_id))

    async def load(self) -> ModelLoad:
        """How busy the replicas are; see ChatModel."""
        all_stats = await self._call_all("stats", _LOAD_TIMEOUT_S)
        return ModelLoad(
            replicas=len(all_stats),
            running=sum(stats.running for stats in all_stats),
            unfinished=sum(stats.unfinished for stats in all_stats),
            capacity=sum(stats.capacity for stats in all_stats),
            background=sum(stats.background for stats in all_stats),
        )

    async def _first(self, response: AsyncIterator[Part], delivery: Delivery) -> Part | None:
        first = asyncio.ensure_future(anext(response, None))
        try:
            while True:
                wait_s = delivery.left_s() if delivery.resumes else self._replica_wait_s
                done, _ = await asyncio.wait([first], timeout=wait_s)
                if done:
                    return first.result()
                if not delivery.resumes:
                    await self._expect_replica()
                elif delivery.left_s() <= 0:
                    raise _NoReplica(delivery.too_late())
        finally:
            first.cancel()

    async def _next(self, response: AsyncIterator[Part]) -> Part | None:
        """Return the next part. Raises _ReplicaLost after a silence.

        It waits in turns: had this process stood still itself, it takes what has come meanwhile
        before the turns are used up.
        """
        upcoming = asyncio.ensure_future(anext(response, None))
        try:
            for _ in range(_TURNS):
                done, _ = await asyncio.wait([upcoming], timeout=self._silence_s / _TURNS)
                if done:
                    return upcoming.result()
        finally:
            upcoming.cancel()
        raise _ReplicaLost(f"its replica gave no sign of life for {self._silence_s:g} s")

    async def _expect_replica(self) -> None:
        if self._check is not None:
            try:
                await self._check()
            except Unavailable as error:
                if error.code != REPLICA_STARTING:
                    raise _NoReplica(error) from error


class _NoReplica(Exception):
    def __init__(self, reason: RequestError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _ReplicaLost(Exception):
    """The replica that worked on a call will not end it; the text says what became of it."""
