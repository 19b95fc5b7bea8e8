"""Tokens through Everloop against bare vLLM, on the same machine, in one run.

    python -m tests.benchmarks.token_path [--rounds 3] [--ray-serve-llm]

Each round starts, measures and stops one side after the other: vLLM's own `api_server` as it comes
(`bare`); the same with the threads that Everloop gives its engine (`tuned`); Everloop, by
`everloop up` in a data folder and on ports of its own; and `ray.serve.llm`'s defaults where asked
for. Quoted are medians over the rounds and of the rounds' ratios. Bars, against `bare`: TTFT p50 at
concurrency 1 at most 1.25, request rate at concurrency 16 at least 0.90. Five minutes a round.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final

import httpx

from cluster.models import ensure_model
from cluster.settings import load_settings
from deployments.model.engine_config import engine_arguments, runtime_environment
from tests.benchmarks.application import running_application
from tests.benchmarks.reporting import median, report
from tests.fixtures.system import free_port

MODEL: Final = "smollm2-135m-instruct"
PROMPTS: Final = [
    f"Write a short note about subject number {number}: the history of {topic}."
    for number, topic in enumerate(
        ["bridges", "clocks", "lighthouses", "maps", "paper", "rivers", "salt", "windmills"] * 6
    )
]
TOKENS: Final = 32
LATENCY_REQUESTS: Final = 15
LOAD_REQUESTS: Final = 48
CONCURRENCY: Final = 16


@dataclass(frozen=True)
class Server:
    """What is measured, and what it is asked with."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Figures:
    """What one side did in one round."""

    ttft_ms: float
    """Median time to the first token of text at concurrency 1."""
    decode_tokens_s: float
    """Median tokens per second after the first, at concurrency 1."""
    requests_s: float
    """Finished requests per second at concurrency 16."""


def main() -> None:
    """Alternate both sides and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray-serve-llm", action="store_true")
    chosen = parser.parse_args()
    sides: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "bare": bare_vllm,
        "tuned": lambda: bare_vllm(tuned=True),
        "everloop": everloop,
    }
    if chosen.ray_serve_llm:
        sides["ray.serve.llm"] = ray_serve_llm
    rounds: list[dict[str, Figures]] = []
    for number in range(1, chosen.rounds + 1):
        figures = {}
        for name, side in sides.items():
            with side() as server:
                figures[name] = measure(server)
            print(f"round {number}: {name} {figures[name]}", flush=True)
        rounds.append(figures)
    rows = []
    for title, figure, bar in (
        ("TTFT p50 at 1, ms", "ttft_ms", "≤ 1.25"),
        ("decode at 1, tokens/s", "decode_tokens_s", ""),
        ("rate at 16, requests/s", "requests_s", "≥ 0.90"),
    ):
        values = {name: [getattr(figures[name], figure) for figures in rounds] for name in sides}
        against = (
            median(b / a for a, b in zip(values[name], values["everloop"], strict=True))
            for name in ("bare", "tuned")
        )
        rows.append((title, *(median(values[name]) for name in sides), *against, bar))
    report(
        "token_path",
        f"SmolLM2-135M on CPU, {chosen.rounds} rounds",
        ("figure", *sides, "everloop / bare", "everloop / tuned", "bar"),
        rows,
        rounds=[{name: asdict(found) for name, found in figures.items()} for figures in rounds],
    )


def measure(server: Server) -> Figures:
    """Warm up, then latency one by one, then load."""
    with httpx.Client(
        base_url=server.url, headers=server.headers, timeout=300, trust_env=False
    ) as client:
        for prompt in PROMPTS[:3]:
            stream(client, prompt)
        alone = [stream(client, prompt) for prompt in PROMPTS[:LATENCY_REQUESTS]]
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(lambda p: stream(client, p), PROMPTS[:CONCURRENCY]))
            start = time.perf_counter()
            list(pool.map(lambda p: stream(client, p), PROMPTS[:LOAD_REQUESTS]))
            seconds = time.perf_counter() - start
    return Figures(
        ttft_ms=median(first for first, _ in alone) * 1000,
        decode_tokens_s=median((TOKENS - 1) / (total - first) for first, total in alone),
        requests_s=LOAD_REQUESTS / seconds,
    )


def stream(client: httpx.Client, prompt: str) -> tuple[float, float]:
    """Seconds to the first token of text, and to the end. Raises unless all tokens came."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    start = time.perf_counter()
    first = 0.0
    completion = 0
    with client.stream("POST", "/chat/completions", json=body) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not first and '"content":"' in line and '"content":""' not in line:
                first = time.perf_counter() - start
            if '"completion_tokens":' in line:
                completion = json.loads(line.removeprefix("data: "))["usage"]["completion_tokens"]
    if completion != TOKENS:
        raise RuntimeError(f"{completion} tokens came, {TOKENS} were asked for")
    return first, time.perf_counter() - start


@contextmanager
def bare_vllm(*, tuned: bool = False) -> Iterator[Server]:
    """vLLM's own server, with the engine arguments that Everloop gives its engine.

    `tuned` adds what Everloop sets in the environment: its threads and their OpenMP.
    """
    settings = load_settings().models[0]
    path = ensure_model(settings.source, load_settings().cache_dir)
    arguments = engine_arguments(settings, path)
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(path), "--served-model-name", MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", str(arguments["dtype"]), "--enforce-eager"]
    command += ["--max-model-len", str(arguments["max_model_len"])]
    command += ["--max-num-seqs", str(arguments["max_num_seqs"])]
    command += ["--kv-cache-memory-bytes", str(arguments["kv_cache_memory_bytes"])]
    environment = runtime_environment(settings) if tuned else {}
    with running(command, environment, f"http://127.0.0.1:{port}/health"):
        yield Server(f"http://127.0.0.1:{port}/v1")


@contextmanager
def ray_serve_llm() -> Iterator[Server]:
    """`ray.serve.llm` with its defaults."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.ray_serve_llm", "--port", str(port)]
    with running(command, {}, f"http://127.0.0.1:{port}/v1/models"):
        yield Server(f"http://127.0.0.1:{port}/v1")


@contextmanager
def running(command: list[str], environment: dict[str, str], ready: str) -> Iterator[None]:
    """Run a server until it is no longer needed."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            await_ready(ready, process)
            yield
        finally:
            process.terminate()
            killer = threading.Timer(60, process.kill)
            killer.start()
            process.wait()
            killer.cancel()


@contextmanager
def everloop() -> Iterator[Server]:
    """Everloop as `everloop up` starts it, with its default model settings."""
    with running_application() as system:
        yield Server(system.base_url, system.headers)


def await_ready(url: str, process: "subprocess.Popen[bytes]", timeout_s: float = 300) -> None:
    """Wait until `url` answers 200; raises when the process ends or time is up."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.25)
    raise RuntimeError(f"{url} did not answer; the process ended with {process.poll()}")


if __name__ == "__main__":
    main()
