"""Clients and stores of the end-to-end tests."""

from collections.abc import Iterator

import openai
import pytest

from tests.fixtures.system import System

__all__ = ["client", "store"]


@pytest.fixture(scope="session")
def client(system: System) -> openai.OpenAI:
    """The official client on the running system."""
    return system.client()


@pytest.fixture
def store(client: openai.OpenAI, request: pytest.FixtureRequest) -> Iterator[str]:
    """The id of an empty vector store of this test."""
    made = client.vector_stores.create(name=request.node.name[:100])
    yield made.id
    client.vector_stores.delete(made.id)
