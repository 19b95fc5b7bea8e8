"""What runs and graders work with, from the settings: models over HTTP, the Embedder, verdicts."""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cluster.database import Database
from cluster.internal_tokens import InternalTokens
from cluster.settings import Settings
from cluster.tls import trust
from deployments.errors import Overloaded, Unavailable
from deployments.evaluation.runs.callers import BACKGROUND_HEADERS, HttpModels, ModelRoutes
from deployments.evaluation.runs.metering import OutsideMeter
from deployments.evaluation.runs.verdicts import StoredVerdicts
from deployments.evaluation.toolbox import Toolbox
from deployments.limits.limiter import Limiter
from deployments.ports import TextEmbedder
from deployments.tracing.prices import Prices

__all__ = ["PatientVectors", "make_routes", "make_toolbox", "make_verdicts"]

_TEXTS: Final = 256
"""Texts of one request; queries of users overtake the next."""
_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0


class PatientVectors:
    """The Embedder, for work that waits while it is busy or away, up to `patience_s` seconds."""

    def __init__(
        self, embedder: TextEmbedder, patience_s: float, pause_s: float = _PAUSE_S
    ) -> None:
        self._embedder = embedder
        self._patience_s = patience_s
        self._pause_s = pause_s

    async def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """See `deployments.evaluation.toolbox.TextVectors`. Raises RequestError."""
        found: list[list[float]] = []
        for start in range(0, len(texts), _TEXTS):
            found += await self._some(texts[start : start + _TEXTS])
        return found

    async def _some(self, texts: Sequence[str]) -> list[list[float]]:
        waited, pause = 0.0, self._pause_s
        while True:
            try:
                return (await self._embedder.embed(texts, priority="bulk")).vectors
            except (Overloaded, Unavailable):
                if waited + pause > self._patience_s:
                    raise
            await asyncio.sleep(pause)
            waited += pause
            pause = min(2 * pause, _LONGEST_PAUSE_S)


def make_routes(settings: Settings, database: Database | None = None) -> ModelRoutes:
    """The gateway's models, and those outside that the settings name.

    With a `database`, what those outside use is counted there.
    """
    chosen = settings.evaluation

    def api(
        base_url: str,
        *,
        key: str | Callable[[], str] | None,
        headers: dict[str, str],
        verify: ssl.SSLContext | bool = True,
    ) -> HttpModels:
        return HttpModels(
            base_url,
            concurrency=chosen.run_concurrency,
            patience_s=chosen.answer_patience_s,
            request_timeout_s=settings.http.request_timeout_s + 10,
            headers=headers,
            key=key,
            verify=verify,
        )

    gateway = api(
        chosen.base_url or settings.base_url,
        key=InternalTokens.of(settings).for_acting_project("inference"),
        headers=dict(BACKGROUND_HEADERS),
        verify=trust(settings.tls.authority),
    )
    outside = {
        model.id: (
            api(
                model.base_url,
                key=os.environ.get(model.key_variable) if model.key_variable else None,
                headers={},
            ),
            model.model,
        )
        for model in chosen.outside_models
    }
    meter = None
    if database is not None and outside:
        limiter = Limiter(
            database,
            settings.limits,
            prices=Prices(settings.tracing.prices),
            replicas=settings.evaluation.replicas,
            last_known_s=settings.access.last_known_s,
            rates=False,
        )
        meter = OutsideMeter(limiter)
    return ModelRoutes(gateway, outside, meter)


def make_verdicts(settings: Settings, database: Database) -> StoredVerdicts:
    """The cache of what judges said."""
    chosen = settings.evaluation
    return StoredVerdicts(database, days=chosen.verdict_days, most=chosen.max_verdicts)


def make_toolbox(
    settings: Settings,
    routes: ModelRoutes,
    verdicts: StoredVerdicts,
    embedder: TextEmbedder,
    encoder: Path | None,
) -> Toolbox:
    """What graders may ask. `encoder`: the folder of the embedding model, for BERTScore."""
    return Toolbox(
        embedder=PatientVectors(embedder, settings.evaluation.answer_patience_s),
        models=routes,
        cache=verdicts,
        encoder=encoder,
        judge_bar=settings.evaluation.judge_bar,
    )
