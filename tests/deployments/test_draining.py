"""A rolling update and a scale-down on a real Serve, under a constant stream of requests."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

from cluster.settings import ModelSettings
from tests.fakes import engine as fake_engine
from tests.fakes import light_model as light
from tests.fakes.light_model import light_model
from tests.fixtures.ray_cluster import SharedRay
from tests.fixtures.system import free_port

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

WORDS: Final = 25
"""Half a second of them."""
AT_ONCE: Final = 4


class Front:
    """An ingress that streams a model's answer, over the handle that the Gateway has."""

    def __init__(self, model: Any, version: str) -> None:
        from deployments.handles import ModelHandle

        self._model = ModelHandle(model, "model")
        self._version = version

    async def __call__(self, request: Any) -> Any:
        from starlette.responses import StreamingResponse

        from deployments.model.messages import ModelCall

        body = {"stream": True, "words": int(request.query_params["words"])}
        call = ModelCall("chat", body, "one", deadline_s=60)

        async def data() -> AsyncIterator[bytes]:
            async for part in self._model.generate(call):
                yield part.data

        return StreamingResponse(data(), headers={"x-version": self._version})


@pytest.fixture(scope="module")
def deploy(shared_ray: SharedRay) -> Iterator[Callable[[str, str, int], str]]:
    """Deploys versions of front and model, with so many replicas; returns where they answer."""
    from ray import cloudpickle, serve

    from deployments.lifetime import lifetime, with_version

    for module in (sys.modules[__name__], light, fake_engine):  # so that no worker imports tests
        cloudpickle.register_pickle_by_value(module)
    port = free_port()

    def deployed(version: str, model_version: str, replicas: int) -> str:
        settings = ModelSettings(
            id="model", min_replicas=replicas, max_replicas=replicas, surge=True
        )
        front = serve.deployment(
            Front, name="Front", ray_actor_options={"num_cpus": 0.1}, **lifetime(60, surge=True)
        )
        model = with_version(light_model("Model", settings), model_version)
        application = with_version(front.bind(model, version), version)
        serve.run(application, name="rolling", route_prefix="/")
        return f"http://127.0.0.1:{port}/"

    with shared_ray.joined("draining"):
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        yield deployed
        serve.shutdown()


@dataclass
class Load:
    """Streams that follow one another, `AT_ONCE` of them, until it is left."""

    url: str
    versions: list[str] = field(default_factory=list)
    """Of the answers, in the order in which they ended."""
    failures: list[str] = field(default_factory=list)
    _over: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(AT_ONCE)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def answered(self, more: int) -> None:
        """Wait for so many further answers."""
        goal = len(self.versions) + more
        async with asyncio.timeout(60):
            while len(self.versions) < goal:
                self._ended.clear()
                await self._ended.wait()

    async def _ask(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while not self._over:
                try:
                    answer = await client.get(self.url, params={"words": WORDS})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200 or not _whole(answer.content):
                    self.failures.append(f"{answer.status_code}: {answer.text[-200:]}")
                self.versions.append(answer.headers.get("x-version", ""))
                self._ended.set()


def _whole(data: bytes) -> bool:
    """Whether a stream has each word once, in order, and its end."""
    lines = [line[6:] for line in data.split(b"\n\n") if line.startswith(b"data: {")]
    said = "".join(json.loads(line)["choices"][0]["delta"]["content"] for line in lines)
    words = " ".join(f"w{number}" for number in range(WORDS))
    return said == words and data.endswith(b"data: [DONE]\n\n")


async def pids(replicas: int) -> set[int]:
    """The processes of the model's replicas, once there are so many."""
    from ray import serve

    handle = serve.get_deployment_handle("Model", "rolling")
    async with asyncio.timeout(60):
        while len(told := set(await handle.broadcast("pid").results_async())) != replicas:
            continue
    return told


async def test_updates_and_a_scale_down_lose_no_request(
    deploy: Callable[[str, str, int], str],
) -> None:
    async with Load(await asyncio.to_thread(deploy, "one", "one", 2)) as load:
        await load.answered(2 * AT_ONCE)
        first = await pids(2)
        await asyncio.to_thread(deploy, "two", "one", 2)  # the front alone
        await load.answered(2 * AT_ONCE)
        assert await pids(2) == first
        await asyncio.to_thread(deploy, "two", "two", 2)
        await load.answered(2 * AT_ONCE)
        second = await pids(2)
        assert not second & first
        await asyncio.to_thread(deploy, "two", "two", 1)
        await load.answered(2 * AT_ONCE)
        assert await pids(1) < second
    assert load.failures == []
    assert load.versions[0] == "one"
    assert load.versions[-1] == "two"
