"""Adapters in vLLM: by name for its OpenAI objects, by number in its workers.

`unload_lora_adapter` of vLLM forgets the name only; the weights stay until its workers are told.
"""

import asyncio
from pathlib import Path
from typing import Any

from deployments.errors import ENGINE_FAILED, Unavailable, Unprocessable
from deployments.model.block_layers import adapter_layers

__all__ = ["VllmAdapters"]


class VllmAdapters:
    """The adapters of an engine of `ray.serve.llm`; see `AdapterEngine`."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

    @property
    def _client(self) -> Any:
        return self._engine._engine_client

    @property
    def _models(self) -> Any:
        return self._engine._oai_models

    async def load(self, adapter_id: str, folder: Path) -> None:
        """Load it in every worker. Raises Unprocessable where vLLM cannot serve such an adapter."""
        layers = self._engine.llm_config.engine_kwargs.get("lora_target_modules")
        if layers is not None:  # vLLM would leave the others out without a word
            other = await asyncio.to_thread(adapter_layers, folder) - set(layers)
            if other:
                raise Unprocessable(
                    f"Adapter {adapter_id} changes {', '.join(sorted(other))}; this model serves "
                    f"adapters on {', '.join(layers)}.",
                    param="model",
                    code="adapter_refused",
                )
        async with self._turn:
            await self._load(adapter_id, folder)

    async def unload(self, adapter_id: str) -> None:
        """Remove it from every worker. Raises Unavailable when it is still there afterwards."""
        async with self._turn:
            await self._unload(adapter_id)

    async def _load(self, adapter_id: str, folder: Path) -> None:
        from vllm.entrypoints.serve.engine.protocol import ErrorResponse
        from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest

        answer = await self._models.load_lora_adapter(
            LoadLoRAAdapterRequest(lora_name=adapter_id, lora_path=str(folder))
        )
        if not isinstance(answer, ErrorResponse):
            return
        if self._client.errored:
            raise Unavailable(
                "The engine failed and is being replaced; try again.",
                code=ENGINE_FAILED,
                retry_after_s=10,
            )
        await self._remove_nameless()
        raise Unprocessable(
            f"vLLM cannot serve adapter {adapter_id}: {answer.error.message}",
            param="model",
            code="adapter_refused",
        )

    async def _remove_nameless(self) -> None:
        """An adapter that failed half-way has no name, and may still take a place."""
        named = {request.lora_int_id for request in self._models.lora_requests.values()}
        for number in set(await self._client.list_loras()) - named:
            await self._client.remove_lora(number)

    async def _unload(self, adapter_id: str) -> None:
        from vllm.entrypoints.serve.lora.protocol import UnloadLoRAAdapterRequest

        number = self._models.lora_requests[adapter_id].lora_int_id
        await self._models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=adapter_id))
        # A call that was cancelled may leave requests that vLLM has yet to abort; one of them in
        # the next step would have its worker load the adapter again, from a folder that is gone.
        states = self._client.output_processor.request_states
        left = [key for key, state in states.items() if state.lora_name == adapter_id]
        if left:
            await self._client.abort(left, internal=True)
        await self._client.remove_lora(number)
        if number in await self._client.list_loras():
            raise Unavailable(
                f"vLLM did not remove adapter {adapter_id}.", code=ENGINE_FAILED, retry_after_s=10
            )
