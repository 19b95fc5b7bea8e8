"""A model behind a gateway or outside, by its base URL and the name of its key's variable."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from cluster.client import key_for, translated_errors, verify_for
from cluster.errors import ApiError, SettingsError, UnreachableError
from cluster.sections.section import Section
from cluster.settings import is_loopback

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["BACKGROUND", "Endpoint", "EndpointCaller"]

BACKGROUND: Final[Mapping[str, str]] = {"x-everloop-priority": "background"}
"""Headers by which Everloop's gateway lets live requests go first."""


class Endpoint(Section):
    """Where a judge answers. Only who runs Everloop may name one: its key leaves the house."""

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    """It ends in `/v1`."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the key; None where no key is asked for, or where the
    judge is an Everloop: then as the command line has it."""
    timeout_s: float = Field(default=120.0, gt=0)
    """For one answer."""
    retries: int = Field(default=8, ge=0, le=20)
    """After a 429, a 5xx or a broken connection, each as late as `Retry-After` asks."""
    background: bool = False
    """Whether it is an Everloop, whose live requests are to go first."""


class EndpointCaller:
    """A `ChatCaller` over HTTP. Use it from one event loop, and close it at the end."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @cached_property
    def _client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        endpoint = self._endpoint
        loopback = is_loopback(urlsplit(endpoint.base_url).hostname or "")
        return AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=self._key(),
            timeout=endpoint.timeout_s,
            max_retries=endpoint.retries,
            default_headers=dict(BACKGROUND) if endpoint.background else None,
            http_client=DefaultAsyncHttpxClient(
                trust_env=not loopback,
                timeout=endpoint.timeout_s,
                verify=verify_for(endpoint.base_url) if endpoint.background else True,
            ),
        )

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `ChatCaller.chat`. Raises SettingsError where the key's variable is not set."""
        url = self._endpoint.base_url
        try:
            with translated_errors(url):
                answer = await self._client.post(
                    "/chat/completions", body=dict(body), cast_to=object
                )
        except UnreachableError as error:
            if self._endpoint.background:
                raise
            raise UnreachableError(
                f"No model answers at {url}.", fix="Look at the base URL and at the network."
            ) from error
        except ApiError as error:
            if self._endpoint.background:
                raise
            raise ApiError(error.message, status=error.status) from error
        if not isinstance(answer, Mapping):
            raise ApiError(
                f"{url} did not answer with a JSON object.",
                fix="Name a base URL that speaks OpenAI's chat API; it ends in /v1.",
            )
        return answer

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.close()

    def _key(self) -> str:
        name = self._endpoint.api_key_env
        if name is None:  # an outside judge gets no key of ours
            return (
                key_for(self._endpoint.base_url) if self._endpoint.background else None
            ) or "none"
        if not (key := os.environ.get(name)):
            raise SettingsError(
                f"The environment variable {name}, which holds a judge's key, is not set.",
                fix=f"Set {name}, or name another variable as api_key_env.",
            )
        return key
