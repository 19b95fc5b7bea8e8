"""What the gateway's routes work with; `request.app.state.services` holds one."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fastapi import Request

from cluster.errors import EverloopError
from cluster.internal_tokens import InternalTokens
from cluster.records import now
from cluster.settings import Settings
from deployments.deletion.notes import DeletionNotes
from deployments.experiments.desk import ExperimentDesk
from deployments.gateway.access.key_book import KeyBook
from deployments.gateway.directory import ModelDirectory
from deployments.gateway.guarding import RequestGuards
from deployments.gateway.queued_model import queues_of
from deployments.gateway.shadows import Shadows
from deployments.gateway.training_files import TrainingFiles
from deployments.guards.book import GuardBook
from deployments.limits.kept_answers import KeptAnswers
from deployments.limits.limiter import Limiter
from deployments.limits.relief import Relief
from deployments.ports import (
    AnswerScorer,
    ChatModel,
    DocumentQueue,
    PassageSearch,
    TextEmbedder,
    TrainingQueue,
)
from deployments.tracing.prices import Prices

if TYPE_CHECKING:
    from cluster.database import Database
    from cluster.storage import ByteStore
    from deployments.gateway.grounding.answerer import GroundedAnswerer
    from deployments.prompts.book import PromptBook
    from deployments.tracing.draft import TraceDraft
    from deployments.tracing.writer import TraceWriter

__all__ = ["Check", "Services", "services"]

Check = Callable[[], Awaitable[None]]
"""Raises EverloopError, with the reason, where a part is not ready."""


@dataclass(frozen=True)
class Services:
    """The gateway's collaborators."""

    settings: Settings
    database: "Database"
    storage: "ByteStore"
    models: Mapping[str, ChatModel]
    """By model id, the default first."""
    embedder: TextEmbedder
    retriever: PassageSearch
    ingestor: DocumentQueue
    evaluator: AnswerScorer
    traces: "TraceWriter"
    answerer: "GroundedAnswerer"
    prompts: "PromptBook"
    trainer: TrainingQueue | None = None
    calls: Callable[[], Mapping[str, int]] | None = None
    """Calls to each model that this replica holds now."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """What `/readyz` asks besides the database and the byte store, by the part's name."""
    note_deletion: DeletionNotes | None = None
    """Told of deleted files; None where no backups are known."""
    kept: KeptAnswers = field(default_factory=lambda: KeptAnswers(0, 0.0))
    """Answers that may be given again while models are pressed."""
    started_at: int = field(default_factory=now)
    """When this replica started, in seconds since the epoch."""

    @cached_property
    def keys(self) -> KeyBook | None:
        """Which API keys there are; None where nobody is asked for one. Raises SettingsError."""
        access = self.settings.access
        if access.keys == "off":
            return None
        return KeyBook(
            self.database,
            InternalTokens.of(self.settings),
            revoked_within_s=access.revoked_within_s,
            last_known_s=access.last_known_s,
        )

    @cached_property
    def limiter(self) -> Limiter:
        """Holds requests to the bounds of their key and project."""
        settings = self.settings
        return Limiter(
            self.database,
            settings.limits,
            prices=Prices(settings.tracing.prices),
            replicas=settings.http.replicas,
            last_known_s=settings.access.last_known_s,
        )

    @cached_property
    def training_files(self) -> TrainingFiles:
        """Checks uploads to train on."""
        return TrainingFiles(self.settings.ingestion)

    @cached_property
    def relief(self) -> Relief:
        """What requests do without while models are pressed."""
        contexts = {model.id: model.max_context_tokens for model in self.settings.models}
        return Relief(queues_of(self.models), contexts, self.kept, self.settings.limits)

    @cached_property
    def directory(self) -> ModelDirectory:
        """What model names stand for."""
        return ModelDirectory(self.database, tuple(self.models), self.settings.default_alias)

    @cached_property
    def experiments(self) -> ExperimentDesk:
        """Which experiments run."""
        return ExperimentDesk(self.database)

    @cached_property
    def shadows(self) -> Shadows:
        """Requests to shadow arms that this replica holds."""
        return Shadows(self.settings.experiments.max_shadows)

    @cached_property
    def guards(self) -> GuardBook:
        """What is checked of questions, passages and answers."""
        return GuardBook(
            self.settings.guards,
            embedder=self.embedder,
            models=self.models,
            outside=self.settings.evaluation.outside_models,
        )

    def guard(self, trace: "TraceDraft") -> RequestGuards:
        """The guards of the request that `trace` is of."""
        return RequestGuards(self.guards.of(trace.project_id), trace)

    async def wake_evaluator(self) -> None:
        """Say that runs of evals changed. It looks by itself too: a failure costs a moment."""
        with suppress(EverloopError):
            await self.evaluator.wake()

    async def wake_trainer(self) -> None:
        """Say that jobs or gate runs changed. It looks by itself too: a failure costs a moment."""
        if self.trainer is not None:
            with suppress(EverloopError):
                await self.trainer.wake()


async def services(request: Request) -> Services:
    """FastAPI dependency; async, because a plain one would cost a thread per request."""
    return cast(Services, request.app.state.services)
