"""vLLM, as `ray.serve.llm` runs it, behind the few calls that a replica needs.

Only model replicas import this module's vLLM parts: they are slow to import and large.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from cluster.adapters import ADAPTER_PREFIX
from deployments.errors import InvalidRequest, NotFound, RequestError
from deployments.model.delivery import why_not_resumed
from deployments.model.failures import (
    context_overflow,
    engine_error,
    invalid_fields,
    is_overflow,
)
from deployments.model.lifeline import kill_children
from deployments.model.messages import ModelCall
from deployments.model.vllm_resuming import Unsent, make_resumable, resume_arguments

__all__ = ["VllmChatEngine"]

_ERROR_EVENT: Final = re.compile(r'data: \{\s*"error"')


class VllmChatEngine:
    """Speaks vLLM's OpenAI objects with an engine of `ray.serve.llm`."""

    def __init__(
        self, engine: Any, max_tokens: int, max_answers: int, chat_template: str | None = None
    ) -> None:
        self._engine = engine
        self._chat_template = chat_template
        self._max_tokens = max_tokens
        self._max_answers = max_answers
        make_resumable(engine)

    @property
    def _client(self) -> Any:
        return self._engine._engine_client

    async def run(self, call: ModelCall) -> AsyncGenerator[bytes, None]:
        """See `ChatEngine.run`."""
        request = self._request(call)
        unsent = Unsent(call.resume)
        method = self._engine.chat if call.kind == "chat" else self._engine.completions
        try:
            async with aclosing(method(request, None)) as outputs:
                async for output in outputs:
                    if isinstance(output, str):
                        if _ERROR_EVENT.match(output):
                            raise self._stream_error(output)
                        if (event := unsent.event(output.encode())) is not None:
                            yield event
                    elif hasattr(output, "error"):
                        error = output.error
                        raise engine_error(error.message, int(error.code), error.param)
                    else:
                        yield output.model_dump_json(exclude_unset=False).encode()
        except InvalidRequest as error:
            if is_overflow(error.message):
                raise await self._overflow(call, request) from None
            raise

    async def check(self) -> None:
        """See `ChatEngine.check`."""
        await self._engine.check_health()

    async def answer(self) -> None:
        """See `ChatEngine.answer`."""
        await self._client.is_sleeping()

    async def probe(self) -> None:
        """See `ChatEngine.probe`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.utils import random_uuid

        params = SamplingParams(
            max_tokens=1, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
        )
        async for _ in self._client.generate(
            {"prompt_token_ids": [0]}, params, f"probe-{random_uuid()}"
        ):
            pass

    def unfinished(self) -> int:
        """See `ChatEngine.unfinished`."""
        return int(self._client.get_num_unfinished_requests())

    def kill(self) -> None:
        """See `ChatEngine.kill`."""
        kill_children()

    def _request(self, call: ModelCall) -> Any:
        from pydantic import ValidationError
        from ray.llm._internal.serve.core.configs.openai_api_models import (
            ChatCompletionRequest,
            CompletionRequest,
        )
        from vllm.exceptions import VLLMClientError

        kind = ChatCompletionRequest if call.kind == "chat" else CompletionRequest
        body = {**call.salted(), "model": _model_name(call), "request_id": call.request_id}
        if body.get("stream"):
            body["stream_options"] = _with_usage(body.get("stream_options"))
            if why_not_resumed(body) is None:
                body["return_token_ids"] = True
        body["vllm_xargs"] = resume_arguments(body.get("vllm_xargs"), call.resume)
        try:
            request = kind(**body)
        except ValidationError as error:
            raise invalid_fields(error.errors()) from None
        except (ValueError, VLLMClientError) as error:
            raise engine_error(str(error), 400, getattr(error, "parameter", None)) from None
        if (request.n or 1) > self._max_answers:
            raise InvalidRequest(
                f"n is {request.n}; at most {self._max_answers} answers are given at once.",
                param="n",
                code="invalid_value",
            )
        return request

    def _stream_error(self, event: str) -> RequestError:
        error = json.loads(event.removeprefix("data: "))["error"]
        return engine_error(error["message"], int(error["code"]), error.get("param"))

    async def _overflow(self, call: ModelCall, request: Any) -> InvalidRequest:
        """Say how many tokens were sent: vLLM stops counting at its limit."""
        wished = getattr(request, "max_completion_tokens", None) or request.max_tokens
        param = "messages" if call.kind == "chat" else "prompt"
        sent = await asyncio.to_thread(self._prompt_tokens, call)
        if wished and sent < self._max_tokens:
            given = call.body.get("max_completion_tokens") is not None
            param = "max_completion_tokens" if given else "max_tokens"
        return context_overflow(sent, wished, self._max_tokens, param)

    def _prompt_tokens(self, call: ModelCall) -> int:
        """Tokens of the prompt, of the longest one where a completion has several."""
        tokenizer = self._client.renderer.get_tokenizer()
        if call.kind == "chat":
            messages = [_as_text(message) for message in call.body["messages"]]
            text = tokenizer.apply_chat_template(
                messages,
                tools=call.body.get("tools"),
                chat_template=self._chat_template,
                add_generation_prompt=True,
                tokenize=False,
            )
            return len(tokenizer.encode(text, add_special_tokens=False))
        prompt = call.body["prompt"]
        prompts = [prompt] if isinstance(prompt, str) or _is_tokens(prompt) else prompt
        return max(len(tokenizer.encode(p)) if isinstance(p, str) else len(p) for p in prompts)


def _model_name(call: ModelCall) -> str | None:
    """What vLLM chooses the weights by, and puts into the answer."""
    if call.adapter is not None:
        return call.adapter.id
    name = call.body.get("model")
    if isinstance(name, str) and name.startswith(ADAPTER_PREFIX):
        # It may be loaded for others; without its files it may go at any moment.
        raise NotFound(f"There is no adapter {name}.", param="model", code="model_not_found")
    return name


def _is_tokens(prompt: Any) -> bool:
    return bool(prompt) and all(isinstance(token, int) for token in prompt)


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose content parts are joined, as vLLM renders them for text models."""
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
    return {**message, "content": content or ""}


def _with_usage(options: Any) -> Any:
    """Ask for the usage, for the trace. What is no mapping is left for vLLM to refuse."""
    if options is None:
        return {"include_usage": True}
    return {**options, "include_usage": True} if isinstance(options, dict) else options
