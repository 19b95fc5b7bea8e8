"""The gateway's ASGI application: OpenAI's API over `Services`."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from cluster.ids import new_id
from cluster.settings import Settings
from deployments.feedback.cross_origin import EndUserOrigins
from deployments.gateway.access.middleware import Access
from deployments.gateway.background import Background, BackgroundGate
from deployments.gateway.error_bodies import ErrorBody, install_error_handlers
from deployments.gateway.limiting import Limits
from deployments.gateway.load_reports import report_load
from deployments.gateway.middleware import BodyRules, Deadline, RequestIdentity
from deployments.gateway.routes import (
    adapters,
    alerts,
    aliases,
    audit,
    chat,
    completions,
    drift,
    embeddings,
    eval_comparisons,
    eval_runs,
    evals,
    experiments,
    feedback,
    file_batches,
    files,
    fine_tuning,
    gate_runs,
    graders,
    health,
    keys,
    lineage,
    metrics,
    models,
    moderations,
    projects,
    prompt_labels,
    prompts,
    rerank,
    responses,
    search,
    traces,
    usage,
    vector_store_files,
    vector_stores,
)
from deployments.gateway.services import Services
from deployments.idempotency.claims import Claims
from deployments.idempotency.layer import Idempotency

__all__ = ["create_app"]

_ROUTES = (
    models,
    completions,
    chat,
    responses,
    embeddings,
    rerank,
    files,
    vector_stores,
    search,
    vector_store_files,
    file_batches,
    fine_tuning,
    adapters,
    aliases,
    gate_runs,
    eval_comparisons,  # before evals: no eval has the id «comparisons»
    evals,
    eval_runs,
    graders,
    traces,
    prompts,
    prompt_labels,
    experiments,
    feedback,
    drift,
    alerts,
    lineage,
    moderations,
    projects,
    keys,
    audit,
    usage,
    health,
    metrics,
)


def create_app(services: Services, *, behind_serve: bool = False) -> FastAPI:
    """Build the application. `services.traces` is closed when it shuts down.

    `behind_serve`: Ray Serve's proxy stands in front; see RequestIdentity.
    """
    http = services.settings.http
    app = FastAPIOffline(
        title="Everloop",
        version=version("everloop"),
        description="Your documents, your model, OpenAI's API. Any `openai` client works: set its "
        "`base_url` to this server's `/v1`.",
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.services = services
    app.router.routes.extend(_router().routes)
    install_error_handlers(app, http.retry_after_s)
    # The last one added is the outermost.
    idempotency = services.settings.idempotency
    app.add_middleware(
        Idempotency,
        claims=Claims(services.database, idempotency.lease_s),
        wait_s=idempotency.wait_s,
        longest_s=http.request_timeout_s,
    )
    app.add_middleware(
        BodyRules,
        max_body_bytes=http.max_body_bytes,
        max_file_bytes=services.settings.ingestion.max_file_bytes,
        max_json_depth=http.max_json_depth,
        max_json_items=http.max_json_items,
    )
    app.add_middleware(Background, gate=_background_gate(services.settings))
    app.add_middleware(Limits, limiter=services.limiter, relief=services.relief)
    app.add_middleware(Deadline, timeout_s=http.request_timeout_s)
    app.add_middleware(Access, settings=services.settings, keys=services.keys)
    if origins := services.settings.feedback.allowed_origins:
        app.add_middleware(EndUserOrigins, origins=origins)
    app.add_middleware(RequestIdentity, traces=services.traces, behind_serve=behind_serve)
    return app


@functools.cache
def _router() -> APIRouter:
    """Every route. To build them takes tenths of a second, and they know no application."""
    router = APIRouter(
        responses={
            "4XX": {"model": ErrorBody, "description": "The request is at fault"},
            "5XX": {"model": ErrorBody, "description": "The server, or a part of it, is"},
        }
    )
    for module in _ROUTES:
        router.include_router(module.router)
    return router


def _background_gate(settings: Settings) -> BackgroundGate:
    """The gate of one gateway replica, which has its share of what the models take at once."""
    taken = sum(m.max_ongoing_requests * max(1, m.min_replicas) for m in settings.models)
    http = settings.http
    return BackgroundGate(
        max(1, taken // http.replicas),
        wait_s=http.background_wait_s,
        max_waiting=http.background_queue,
        quiet_s=http.quiet_s,
        retry_after_s=http.retry_after_s,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    await services.guards.warm_up()
    reports: asyncio.Task[None] | None = None
    if services.trainer is not None and services.calls is not None:
        reports = asyncio.create_task(report_load(services.calls, services.trainer, new_id("gw")))
    yield
    if reports is not None:
        reports.cancel()
    await services.shadows.close()
    await services.limiter.ledger.close()
    await services.traces.close()
    if services.keys is not None:
        await services.keys.close()
