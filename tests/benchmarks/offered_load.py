"""Requests at fixed times, whether or not the earlier ones are answered, and what became of them.

To loopback only, and bounded: at most `_MOST` requests of one run, each with a deadline.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx
import psutil

__all__ = ["Sent", "memory_mib", "offer", "p95_ms"]

_MOST: Final = 100_000
_QUESTION: Final = "How long does parental leave last, and who pays for it?"


class Sent(NamedTuple):
    """One request."""

    who: str
    due_s: float
    """When it was due, from the start of its phase."""
    ms: float
    """From then to its last byte."""
    status: int
    in_time: bool
    """Whether it was answered within its deadline."""


async def offer(
    url: str,
    rates: Mapping[str, float],
    seconds: float,
    deadline_s: float,
    keys: Mapping[str, str] | None = None,
) -> list[Sent]:
    """Send plain chats at `rates` requests a second, by who sends them, evenly over `seconds`.

    `keys`: the API key of each. Raises ValueError for more requests than are allowed, or another
    machine.
    """
    count = sum(rates.values()) * seconds
    if count > _MOST or not url.startswith("http://127.0.0.1:"):
        raise ValueError(f"{count:.0f} requests to {url}: at most {_MOST}, to this machine only")
    times = sorted(
        (number / rate, who) for who, rate in rates.items() for number in range(int(rate * seconds))
    )
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx.AsyncClient(
        base_url=url, timeout=deadline_s + 10, trust_env=False, limits=limits
    ) as client:
        start = time.perf_counter() + 0.1
        tasks = []
        for due_s, who in times:
            await asyncio.sleep(max(0.0, start + due_s - time.perf_counter()))
            key = (keys or {}).get(who, "none")
            tasks.append(asyncio.create_task(_send(client, who, key, start, due_s, deadline_s)))
        return list(await asyncio.gather(*tasks))


async def _send(
    client: httpx.AsyncClient, who: str, key: str, start: float, due_s: float, deadline_s: float
) -> Sent:
    body: dict[str, Any] = {
        "model": "light",
        "messages": [{"role": "user", "content": _QUESTION}],
        "max_tokens": 32,
    }
    headers = {"authorization": f"Bearer {key}", "x-request-timeout": f"{deadline_s:g}"}
    try:
        status = (await client.post("/chat/completions", json=body, headers=headers)).status_code
    except httpx.HTTPError:
        status = 0
    taken_s = time.perf_counter() - start - due_s
    return Sent(who, due_s, taken_s * 1000, status, status == 200 and taken_s <= deadline_s)


def p95_ms(sent: list[Sent]) -> float:
    """Of those that were answered; infinite where none was."""
    answered = sorted(one.ms for one in sent if one.status == 200)
    return answered[min(len(answered) - 1, int(0.95 * len(answered)))] if answered else float("inf")


def memory_mib(url: str) -> float:
    """What the process that listens there holds, a child of this one."""
    port = url.split(":")[2].split("/")[0]
    for process in psutil.Process().children():
        if port in process.cmdline():
            return float(process.memory_info().rss) / 2**20
    raise LookupError(f"no process for {url}")
