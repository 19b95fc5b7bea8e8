"""Adapters in a real vLLM, as `ray.serve.llm` runs it, on a model of two layers."""

import asyncio
import json
import shutil
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import pytest_asyncio

from cluster.adapters import AdapterFiles, store_adapter
from cluster.storage import ByteStore
from deployments.errors import InvalidRequest, NotFound, Unprocessable
from deployments.model.adapter_cache import AdapterCache
from deployments.model.messages import ModelCall
from deployments.model.replica_folder import ReplicaFolder
from deployments.model.serving import ChatServing
from tests.fixtures.tiny_vllm import TinyVllm

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

MODEL: Final = "tiny"
PLACES: Final = 2
WAYS: Final = [(kind, stream) for kind in ("chat", "completion") for stream in (False, True)]


@dataclass
class Served:
    """A replica's parts over a real engine, and three adapters, one more than there are places."""

    client: Any
    cache: AdapterCache
    serving: ChatServing
    store: ByteStore
    folder: Path
    adapters: dict[str, AdapterFiles | None] = field(default_factory=dict)
    asked: int = 0

    async def ask(
        self, adapter: AdapterFiles | None, kind: Any = "chat", stream: bool = False, **more: Any
    ) -> tuple[str, list[int]]:
        """The answer's model and tokens."""
        self.asked += 1
        body = {
            "model": MODEL,
            "max_tokens": 12,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
            "stream": stream,
        }
        question: dict[str, Any] = {"prompt": "Once upon a time"}
        if kind == "chat":
            question = {"messages": [{"role": "user", "content": "What is it?"}]}
        call = ModelCall(kind, {**body, **question, **more}, f"r{self.asked}", 120, adapter)
        data = b"".join([part.data async for part in self.serving.generate(call)])
        answers = [json.loads(data)] if not stream else _events(data)
        tokens = [
            token
            for answer in answers
            for choice in answer["choices"]
            for token in choice.get("token_ids") or []
        ]
        return answers[0]["model"], tokens

    def named(self, name: str) -> AdapterFiles:
        adapter = self.adapters[name]
        assert adapter is not None
        return adapter


def _events(data: bytes) -> list[dict[str, Any]]:
    lines = data.decode().split("\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def make_adapter(base: Path, folder: Path, seed: int) -> Path:
    """A seeded adapter that changes every answer, in peft's format."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.2
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(tiny_vllm: TinyVllm, tmp_path_factory: pytest.TempPathFactory) -> Served:
    from deployments.model.vllm_adapters import VllmAdapters

    engine, settings = tiny_vllm.engine, tiny_vllm.settings
    folder = tmp_path_factory.mktemp("adapters")
    store = ByteStore(f"file://{folder / 'store'}")
    made: dict[str, AdapterFiles | None] = {"base": None}
    for seed, name in enumerate("abc"):
        source = make_adapter(tiny_vllm.base, folder / name, seed)
        made[name] = store_adapter(store, source, base=MODEL, suffix=name, project="proj_default")
    cache = AdapterCache(
        VllmAdapters(engine),
        store,
        ReplicaFolder(folder / "replicas"),
        most=settings.max_adapters,
        max_rank=settings.max_adapter_rank,
    )
    serving = ChatServing(tiny_vllm.chat, 500, cache)
    return Served(engine._engine_client, cache, serving, store, folder, made)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(served: Served) -> dict[tuple[str, str, bool], tuple[str, list[int]]]:
    """Each adapter's answers, asked one by one."""
    return {
        (name, kind, stream): await served.ask(adapter, kind, stream)
        for name, adapter in served.adapters.items()
        for kind, stream in WAYS
    }


async def test_every_adapter_answers_for_itself_and_the_answer_names_it(
    served: Served, alone: dict[tuple[str, str, bool], tuple[str, list[int]]]
) -> None:
    for kind, stream in WAYS:
        answers = {name: alone[name, kind, stream] for name in served.adapters}
        assert len({tuple(tokens) for _, tokens in answers.values()}) == 4
        assert answers["base"][0] == MODEL
        assert all(answers[name][0] == served.named(name).id for name in "abc")
        assert all(len(tokens) == 12 for _, tokens in answers.values())


async def test_a_mixture_of_more_adapters_than_places_is_answered_as_each_alone(
    served: Served, alone: dict[tuple[str, str, bool], tuple[str, list[int]]]
) -> None:
    keys = list(alone) * 3
    answers = await asyncio.gather(
        *(served.ask(served.adapters[name], kind, stream) for name, kind, stream in keys)
    )
    assert answers == [alone[key] for key in keys]


async def test_what_is_put_out_is_gone_from_vllm(served: Served) -> None:
    for name in "abcab":
        await served.ask(served.named(name))
    assert served.cache.loaded() == tuple(sorted(served.named(name).id for name in "ab"))
    models = served.serving._engine._engine._oai_models  # type: ignore[attr-defined]
    numbers = {request.lora_int_id for request in models.lora_requests.values()}
    assert set(models.lora_requests) == set(served.cache.loaded())
    assert set(await served.client.list_loras()) == numbers


async def test_a_cancelled_call_of_several_prompts_does_not_bring_its_adapter_back(
    served: Served, alone: dict[tuple[str, str, bool], tuple[str, list[int]]]
) -> None:
    prompts = ["one", "two", "three", "four"]
    call = asyncio.create_task(
        served.ask(served.named("a"), "completion", prompt=prompts, max_tokens=200)
    )
    async with asyncio.timeout(60):
        while served.client.get_num_unfinished_requests() < len(prompts):
            await served.client.is_sleeping()
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    async with AsyncExitStack() as stack:  # both places: it has to go at once
        for name in "bc":
            await stack.enter_async_context(served.cache.use(served.named(name), 60))
        assert len(await served.client.list_loras()) == PLACES
        assert await served.ask(None) == alone["base", "chat", False]
        assert len(await served.client.list_loras()) == PLACES
    assert await served.ask(served.named("a")) == alone["a", "chat", False]


async def test_the_base_answers_no_call_for_an_adapter(served: Served) -> None:
    await served.ask(served.named("a"))
    for name in (served.named("a").id, "ft:tiny:nobody", "nobody"):
        with pytest.raises(NotFound):
            await served.ask(None, model=name)


async def test_an_adapter_that_vllm_cannot_serve_is_refused_with_its_reason(
    served: Served,
) -> None:
    folder = served.folder / "dora"
    shutil.copytree(served.folder / "a", folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    dora = store_adapter(served.store, folder, base=MODEL, suffix=None, project="proj_default")
    with pytest.raises(Unprocessable, match="DoRA"):
        await served.ask(dora)
    assert dora.id not in served.cache.loaded()


async def test_an_adapter_on_the_head_is_refused_rather_than_served_in_part(
    served: Served,
) -> None:
    from safetensors.torch import load_file, save_file

    folder = served.folder / "head"
    shutil.copytree(served.folder / "a", folder)
    weights = load_file(folder / "adapter_model.safetensors")
    of_head = {
        f"base_model.model.lm_head.lora_{half}.weight": next(
            weight.clone() for name, weight in weights.items() if f"lora_{half}" in name
        )
        for half in "AB"
    }
    save_file(weights | of_head, folder / "adapter_model.safetensors")
    head = store_adapter(served.store, folder, base=MODEL, suffix=None, project="proj_default")
    with pytest.raises(Unprocessable, match="changes lm_head"):
        await served.ask(head)


async def test_one_that_failed_half_way_takes_no_place(
    served: Served, alone: dict[tuple[str, str, bool], tuple[str, list[int]]]
) -> None:
    from safetensors.torch import load_file, save_file

    folder = served.folder / "misfit"
    shutil.copytree(served.folder / "a", folder)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: weight.repeat(2, 2) for name, weight in weights.items()},
        folder / "adapter_model.safetensors",
    )
    misfit = store_adapter(served.store, folder, base=MODEL, suffix=None, project="proj_default")
    for _ in range(PLACES + 1):
        with pytest.raises(Unprocessable, match="cannot serve"):
            await served.ask(misfit)
    assert len(await served.client.list_loras()) == len(served.cache.loaded())
    names = ["base", "a", "b"]
    answers = await asyncio.gather(*(served.ask(served.adapters[name]) for name in names))
    assert answers == [alone[name, "chat", False] for name in names]


async def test_a_prompt_that_is_too_long_is_counted_under_an_adapter_too(served: Served) -> None:
    with pytest.raises(InvalidRequest, match="context is 2048 tokens"):
        await served.ask(served.named("a"), max_tokens=3000)


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_what_the_engine_is_asked_is_salted_by_its_project(kind: Any) -> None:
    """vLLM's own request objects have the field; a client's salt is never passed on as it is."""
    from deployments.model.vllm_engine import VllmChatEngine

    surface = SimpleNamespace(engine_client=None)
    behind = SimpleNamespace(_oai_serving_chat=surface, _oai_serving_completion=surface)
    engine = VllmChatEngine(behind, max_tokens=64, max_answers=1)
    asked = {"messages": [{"role": "user", "content": "x"}]} if kind == "chat" else {"prompt": "x"}
    body = {"model": MODEL, "cache_salt": "a client's", **asked}
    calls = [ModelCall(kind, body, "r", project_id=project) for project in ("a", "b")]
    salts = [engine._request(call).cache_salt for call in calls]
    assert salts == [call.salted()["cache_salt"] for call in calls]
    assert len({*salts, "a client's"}) == 3
