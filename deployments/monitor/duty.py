"""What the Monitor does again and again, and what it does it with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cluster.settings import Settings
from deployments.ports import (
    AnswerScorer,
    ChatModel,
    DocumentQueue,
    TextEmbedder,
    TrainingQueue,
)

if TYPE_CHECKING:
    from cluster.database import Database
    from cluster.storage import ByteStore

__all__ = ["Duty", "MonitorParts"]


@dataclass(frozen=True, slots=True)
class MonitorParts:
    """What duties work with."""

    settings: Settings
    database: "Database"
    storage: "ByteStore"
    embedder: TextEmbedder
    evaluator: AnswerScorer
    trainer: TrainingQueue
    ingestor: DocumentQueue
    models: Mapping[str, ChatModel]
    """By model id."""


class Duty(Protocol):
    """One piece of work that comes again. Its state is in the records: any turn may be the last."""

    @property
    def name(self) -> str:
        """What logs and counts call it."""
        ...

    @property
    def period_s(self) -> float:
        """Seconds from the end of one turn to the start of the next."""
        ...

    async def turn(self) -> None:
        """Do what is due. What it raises is logged and counted, and the next turn comes."""
        ...
