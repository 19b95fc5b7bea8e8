"""Earlier answers to the same question, of the same documents, by the same model and prompt."""

import hashlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from cluster.errors import DatabaseError
from cluster.records import VectorStoreFile
from deployments.gateway.grounding.answer_request import AnswerRequest
from deployments.gateway.grounding.events import (
    AnswerEvent,
    Finished,
    SentenceAttributed,
    TextDelta,
)
from deployments.last_known import LastKnown
from deployments.limits.kept_answers import KeptAnswers
from deployments.model.messages import Usage
from deployments.retriever.messages import RetrievedPassage

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["EarlierAnswer", "EarlierAnswers", "say_again"]

_STATE_TTL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """An answer, and the passages that were found for it."""

    found: tuple[RetrievedPassage, ...]
    finished: Finished


class EarlierAnswers:
    """Keeps whole grounded answers, and finds them again.

    What was asked is the conversation, the search, the options, the model or adapter, the prompt
    version, and the state of the stores: which document versions are live. A search with `filters`
    is left out, since attributes change without a new version. Nothing is kept or found while the
    database does not answer.
    """

    def __init__(self, kept: KeptAnswers, database: "Database") -> None:
        self._kept: Final = kept
        self._database: Final = database
        self._states: Final = LastKnown(self._read, ttl_s=_STATE_TTL_S, stale_s=_STATE_TTL_S)

    async def find(self, request: AnswerRequest, prompt: str) -> EarlierAnswer | None:
        """The answer to `request` by the prompt version `prompt`, where it still holds."""
        stores = _stores(request)
        if stores is None or not self._kept.holds(request.project_id):
            return None
        try:
            state = await self._read(stores)
        except DatabaseError:
            return None
        found = self._kept.get(request.project_id, _digest(request, prompt, state))
        return found if isinstance(found, EarlierAnswer) else None

    async def name(self, request: AnswerRequest, prompt: str) -> str | None:
        """What to keep the answer under; to be asked before documents are searched.

        The state may be a second old: an answer that is newer than the state it is kept under is
        found only while that state lasts, which is then the answer's own.
        """
        stores = _stores(request)
        if stores is None:
            return None
        try:
            state = await self._states.get(stores)
        except DatabaseError:
            return None
        return None if state is None else _digest(request, prompt, state)

    def keep(self, project_id: str, name: str, answer: EarlierAnswer) -> None:
        """Keep an answer."""
        self._kept.put(project_id, name, answer)

    async def _read(self, stores: str) -> str:
        return await self._database.run(partial(_state, stores.split(",")), read_only=True)


async def say_again(answer: EarlierAnswer) -> AsyncGenerator[AnswerEvent, None]:
    """The events of an answer that was given before. It used no tokens this time."""
    finished = answer.finished
    yield TextDelta(finished.text)
    for sentence in finished.sentences:
        cited = (
            c for c in finished.citations if (c.start, c.end) == (sentence.start, sentence.end)
        )
        yield SentenceAttributed(sentence, tuple(cited))
    yield replace(finished, usage=Usage())


def _stores(request: AnswerRequest) -> str | None:
    search = request.search
    if search is None or search.filters is not None or request.background:
        return None
    return ",".join(sorted(set(search.vector_store_ids)))


def _state(store_ids: list[str], session: "Session") -> str:
    """Which versions are live, in short: a new one has a higher number than all before it."""
    numbers = select(
        VectorStoreFile.store_id,
        func.count(),
        func.max(VectorStoreFile.number),
        func.sum(VectorStoreFile.number),
    )
    live = numbers.where(VectorStoreFile.store_id.in_(store_ids), VectorStoreFile.live)
    rows = session.execute(live.group_by(VectorStoreFile.store_id)).all()
    return json.dumps(sorted([str(value) for value in row] for row in rows))


def _digest(request: AnswerRequest, prompt: str, state: str) -> str:
    assert request.search is not None  # noqa: S101 - `_stores` has looked
    asked = [
        request.answers,
        prompt,
        state,
        request.messages,
        request.search.model_dump(mode="json"),
        request.retrieval.model_dump(mode="json"),
        request.options,
        dict(request.variables),
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
