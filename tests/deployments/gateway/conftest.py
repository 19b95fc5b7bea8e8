"""The gateway over fakes, driven by the official `openai` client without a socket."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import httpx2
import openai
import pytest
from fastapi import FastAPI

from cluster.database import Database
from cluster.settings import (
    AccessSettings,
    HttpSettings,
    IngestionSettings,
    Settings,
    TracingSettings,
)
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from tests.fakes.parts import (
    FakeIngestor,
    FakeRetriever,
)
from tests.fixtures.databases import database, database_url
from tests.fixtures.gateway import fake_services

__all__ = ["database", "database_url"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Small limits, so that tests reach them."""
    return Settings(
        data_dir=tmp_path,
        access=AccessSettings(keys="off"),
        http=HttpSettings(max_body_bytes=4096, request_timeout_s=60),
        ingestion=IngestionSettings(max_file_bytes=2 * 1024**2, max_files_per_store=5),
        tracing=TracingSettings(flush_interval_s=0.01),
    )


@pytest.fixture
async def parts(settings: Settings, database: Database) -> Services:
    """The gateway's collaborators."""
    return fake_services(settings, database)


@pytest.fixture
def app(parts: Services) -> FastAPI:
    """The application under test."""
    return create_app(parts)


@pytest.fixture
async def http(app: FastAPI, parts: Services) -> AsyncIterator[httpx2.AsyncClient]:
    """A plain HTTP client, for what the official one would not send."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as client:
        yield client
    await parts.traces.close()


@pytest.fixture
async def client(http: httpx2.AsyncClient) -> openai.AsyncOpenAI:
    """The official client."""
    return openai.AsyncOpenAI(
        base_url="http://everloop/v1", api_key="none", http_client=http, max_retries=0
    )


@pytest.fixture
def ingestor(parts: Services) -> FakeIngestor:
    """The fake behind the ingestor's port."""
    return cast(FakeIngestor, parts.ingestor)


@pytest.fixture
def retriever(parts: Services) -> FakeRetriever:
    """The fake behind the retriever's port."""
    return cast(FakeRetriever, parts.retriever)


async def upload(client: openai.AsyncOpenAI, text: str, name: str = "notes.txt") -> str:
    """Upload a text; returns the file's id."""
    made = await client.files.create(file=(name, text.encode()), purpose="user_data")
    return made.id
