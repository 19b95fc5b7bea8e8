"""Asking the HTTP front how it is. `python -m cluster.launch.probe` ends with 0 where it lives."""

import sys

import httpx

from cluster.settings import Settings, load_settings
from cluster.tls import trust

__all__ = ["is_alive", "is_ready"]


def is_ready(settings: Settings, timeout_s: float = 2.0) -> bool:
    """Whether the gateway says that every part answers."""
    return _answers(settings, "/readyz", timeout_s)


def is_alive(settings: Settings, timeout_s: float = 2.0) -> bool:
    """Whether the gateway answers at all."""
    return _answers(settings, "/healthz", timeout_s)


def _answers(settings: Settings, path: str, timeout_s: float) -> bool:
    url = settings.base_url.removesuffix("/v1") + path
    verify = trust(settings.tls.authority)
    try:
        with httpx.Client(trust_env=False, timeout=timeout_s, verify=verify) as client:
            return client.get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_alive(load_settings()) else 1)
