"""What the gateway and the ingestor need of the other deployments, as protocols.

Each deployment offers methods of these names; `deployments/handles.py` adapts Serve handles to
these protocols and turns Ray's errors into `deployments.errors`. Tests pass small fakes.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from cluster.adapters import AdapterFiles
from deployments.evaluator.messages import GradedAnswer, MadeReport
from deployments.model.messages import ModelCall, ModelLoad, Part
from deployments.retriever.messages import SearchRequest, SearchResult

__all__ = [
    "EMBED_TIMEOUT_S",
    "GRADE_TIMEOUT_S",
    "NOTICE_TIMEOUT_S",
    "PURGE_TIMEOUT_S",
    "AnswerScorer",
    "ChatModel",
    "DocumentQueue",
    "EmbeddedTexts",
    "PassageSearch",
    "TextEmbedder",
    "TrainingQueue",
]


EMBED_TIMEOUT_S: Final = 120.0
"""The longest call of the Embedder."""
PURGE_TIMEOUT_S: Final = 30.0
"""The longest call of the Ingestor."""
GRADE_TIMEOUT_S: Final = 300.0
"""The longest call of the Evaluator."""
NOTICE_TIMEOUT_S: Final = 5.0
"""The longest call that only says something, such as those of the Trainer and the Monitor."""


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """Unit-length vectors, one per text, and the tokens each text had."""

    vectors: list[list[float]]
    tokens: list[int]


class TextEmbedder(Protocol):
    """The Embedder."""

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        """Embed `texts`. Queries overtake bulk work. Raises Overloaded when its queue is full."""
        ...

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of token lists; raises InvalidRequest for unknown ids."""
        ...


class PassageSearch(Protocol):
    """The Retriever."""

    async def search(self, request: SearchRequest) -> SearchResult:
        """Find passages. Raises NotFound for a store that this project does not have."""
        ...

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Relevance of each document to `query`, 0 to 1, in the order given."""
        ...

    async def contents(self, project_id: str, store_id: str, number: int) -> list[str]:
        """Return the texts of a document version's passages, in the document's order."""
        ...

    async def check(self) -> None:
        """Raise Unavailable, with the reason, unless Milvus answers."""
        ...


class ChatModel(Protocol):
    """One model's replicas."""

    def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        """Run `call`. Closing the iterator stops the generation."""
        ...

    async def prepare(self, adapter: AdapterFiles) -> int:
        """Load `adapter` on every replica that runs now; returns how many there are.

        Raises what the first of those that failed did, once all have ended. A replica that starts
        later loads it when it is first called.
        """
        ...

    async def forget(self, adapter_id: str) -> int:
        """Have every replica drop a deleted adapter, once no call uses it; returns how many run."""
        ...

    async def load(self) -> ModelLoad:
        """How busy its replicas are."""
        ...


class DocumentQueue(Protocol):
    """The Ingestor. Work stands in the database; these only say that there is some."""

    async def wake(self) -> None:
        """Rows were queued or marked deleted: look now."""
        ...

    async def purge(self, numbers: Sequence[int]) -> None:
        """Delete the passages of these document versions from Milvus before returning."""
        ...

    async def purge_project(self, project_id: str) -> int:
        """Delete every passage of a project from Milvus; returns how many there were."""
        ...


class AnswerScorer(Protocol):
    """The Evaluator."""

    async def submit(self, trace_id: str) -> bool:
        """Score this trace some time soon. False when its queue is full and it was dropped."""
        ...

    async def wake(self) -> None:
        """Runs of evals changed: look now."""
        ...

    async def grade(
        self, grader: Mapping[str, Any], item: Mapping[str, Any], answer: str
    ) -> GradedAnswer:
        """Grade one answer now, by a grader's body that has been checked."""
        ...

    async def report(self, run_id: str) -> MadeReport:
        """The report of a run that has ended."""
        ...

    async def compare(
        self, baseline: str, candidate: str, settings: Mapping[str, Any]
    ) -> MadeReport:
        """Compare two ended runs item by item.

        Raises InvalidRequest where nothing in them can be compared, or a setting is wrong.
        """
        ...


class TrainingQueue(Protocol):
    """The Trainer. Jobs and gate runs stand in the database; this only says that some changed."""

    async def wake(self) -> None:
        """Look now."""
        ...

    async def note_load(self, gateway: str, calls: Mapping[str, int]) -> None:
        """Take note of the calls that a gateway replica holds, by model. Told once a second."""
        ...
