"""One Prometheus exposition out of those that Ray's metrics agents export, one per node."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["merged", "node_endpoints", "scraped"]

_log = logging.getLogger(__name__)
_SCRAPE_TIMEOUT_S: Final = 5.0


def node_endpoints() -> list[str]:
    """List the metrics URLs of the cluster's nodes that are alive."""
    import ray

    return [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in ray.nodes()
        if node.get("Alive") and node.get("MetricsExportPort")
    ]


async def scraped(endpoints: Sequence[str]) -> list[str]:
    """Fetch the texts of the endpoints that answer; one that does not is logged and left out."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_SCRAPE_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as client:

        async def fetch(url: str) -> str | None:
            try:
                async with client.get(url) as response:
                    return await response.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                _log.warning("The metrics agent %s does not answer: %r", url, error)
                return None

        texts = await asyncio.gather(*(fetch(url) for url in endpoints))
    return [text for text in texts if text is not None]


def merged(texts: Iterable[str]) -> str:
    """Join expositions: each family once, with its HELP and TYPE first, as the format demands.

    https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, dict[str, None]] = {}
    for text in texts:
        family = ""
        for line in text.splitlines():
            words = line.split(" ", 3)
            if line.startswith(("# HELP ", "# TYPE ")):
                family = words[2]
                heads.setdefault(family, {}).setdefault(words[1], line)
                samples.setdefault(family, {})
            elif line and not line.startswith("#"):
                samples.setdefault(family, {})[line] = None
    lines: list[str] = []
    for family, rows in samples.items():
        lines += heads.get(family, {}).values()
        lines += rows
    return "\n".join(lines) + "\n"
