"""The official openai client, pointed at an Everloop, with its errors in our words."""

import logging
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from cluster.errors import ApiError, UnreachableError
from cluster.key_file import read_key_file
from cluster.settings import is_loopback, load_settings
from cluster.tls import trust

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import VectorStore

__all__ = [
    "connected",
    "find_store",
    "key_for",
    "openai_client",
    "require_store",
    "translated_errors",
    "verify_for",
]

_FIXES: Final = {
    401: "Set EVERLOOP_API_KEY to a key of this Everloop, or load the file that `up` wrote "
    "(`. ~/.everloop/env`). On its server, `everloop keys create --local --save` makes a new one.",
    403: "Use a key that has the scope: `everloop keys list` shows what each may do.",
}


def key_for(base_url: str) -> str | None:
    """The key to send to `base_url`: `EVERLOOP_API_KEY`, or the one that `up` made for it.

    The latter is in the data folder of the settings, and goes nowhere but to its own address.
    `OPENAI_API_KEY` is never taken: it may be for OpenAI.
    """
    if key := os.environ.get("EVERLOOP_API_KEY"):
        return key
    found = read_key_file(load_settings().data_dir)
    ours = found is not None and found.base_url.rstrip("/") == base_url.rstrip("/")
    return found.key if found is not None and ours else None


def verify_for(base_url: str) -> ssl.SSLContext | bool:
    """How the certificate of an Everloop at `base_url` is verified: by `tls.authority` too."""
    encrypted = base_url.startswith("https://")
    return trust(load_settings().tls.authority) if encrypted else True


def openai_client(
    base_url: str,
    *,
    timeout_s: float = 600.0,
    key: str | Callable[[], str] | None = None,
) -> "OpenAI":
    """Make a client for `base_url`; `key` may make one for each request; None is `key_for`'s.

    A request whose connection breaks, or that meets a busy server, is sent twice more, under one
    `Idempotency-Key`: what it makes is made once. A proxy from the environment is not used for this
    machine.
    """
    from openai import DefaultHttpxClient, OpenAI

    class Client(OpenAI):
        """OpenAI's own draws a key for every request that is no GET, and keeps it to itself."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self._idempotency_header = "Idempotency-Key"

    # Ray and vLLM, where a command imports them, print every logger's INFO to the terminal.
    for name in ("httpx", "httpx2", "openai"):
        logging.getLogger(name).setLevel(logging.WARNING)
    loopback = is_loopback(urlsplit(base_url).hostname or "")
    return Client(
        base_url=base_url,
        api_key=key or key_for(base_url) or "none",
        timeout=timeout_s,
        max_retries=2,
        http_client=DefaultHttpxClient(
            trust_env=not loopback, timeout=timeout_s, verify=verify_for(base_url)
        ),
    )


@contextmanager
def translated_errors(base_url: str) -> Iterator[None]:
    """Turn the client's errors into UnreachableError and ApiError."""
    import openai

    try:
        yield
    except openai.APITimeoutError as error:
        raise ApiError(f"{base_url} did not answer in time.", fix="Try again.") from error
    except openai.APIConnectionError as error:
        raise UnreachableError(
            f"No Everloop answers at {base_url}.",
            fix="Start one with `everloop up`, or name another with --base-url.",
        ) from error
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        message = str(body.get("message") or error.message)
        raise ApiError(
            f"{base_url} answered {error.status_code}: {message}",
            status=error.status_code,
            fix=_FIXES.get(error.status_code, ""),
        ) from error
    except openai.APIError as error:
        raise ApiError(f"{base_url} broke off: {error.message}") from error


@contextmanager
def connected(base_url: str | None, *, timeout_s: float = 600.0) -> Iterator["OpenAI"]:
    """A client of `base_url`, by default of where the settings say, with its errors translated."""
    url = base_url or load_settings().base_url
    with translated_errors(url), openai_client(url, timeout_s=timeout_s) as client:
        yield client


def find_store(client: "OpenAI", name: str) -> "VectorStore | None":
    """Return the vector store of this name or id, the newest where several have the name."""
    if name.startswith("vs_"):
        from openai import NotFoundError

        try:
            return client.vector_stores.retrieve(name)
        except NotFoundError:
            return None
    return next(
        (store for store in client.vector_stores.list(limit=100) if store.name == name), None
    )


def require_store(client: "OpenAI", name: str) -> "VectorStore":
    """Return the store of this name or id. Raises ApiError that lists those there are."""
    store = find_store(client, name)
    if store is None:
        names = ", ".join(sorted(s.name or s.id for s in client.vector_stores.list(limit=20)))
        raise ApiError(
            f"There is no vector store {name!r}; there are: {names or 'none yet'}.",
            status=404,
            fix=f"`everloop ingest PATH --store {name}` makes one.",
        )
    return store
