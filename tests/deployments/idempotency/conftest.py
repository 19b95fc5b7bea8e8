"""The gateway over fakes, of which requests are sent twice."""

from tests.deployments.gateway.conftest import app, client, http, parts, settings
from tests.fixtures.databases import database

__all__ = ["app", "client", "database", "http", "parts", "settings"]
