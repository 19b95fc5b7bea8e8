"""Answers that another replica began, gone on with by vLLM.

The engine gets prompt and sent tokens as its prompt. vLLM's OpenAI objects are told the sent tokens
as if they had just been generated, one by one: its parsers of tool calls, its search for stop texts
that straddle the cut, its decoder in the middle of a character and its counts are then where they
were in the lost replica. The events that this makes again are dropped.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any, Final

from deployments.model.messages import Sent
from deployments.model.token_events import tells_tokens, token_ids, with_created

__all__ = ["ResumableClient", "Unsent", "advance_grammars", "make_resumable", "resume_arguments"]

_TOKENS: Final = "everloop_sent_tokens"
_FINISHED: Final = "everloop_sent_all"


def make_resumable(engine: Any) -> None:
    """Have an engine of `ray.serve.llm` go on with answers that begin in `vllm_xargs`."""
    for serving in (engine._oai_serving_chat, engine._oai_serving_completion):
        serving.engine_client = ResumableClient(serving.engine_client)


def resume_arguments(given: Any, sent: Sent | None) -> Any:
    """Return `vllm_xargs`: the client's, which may not name ours, and what has been sent.

    What is no mapping is left for vLLM to refuse.
    """
    if given is not None and not isinstance(given, dict):
        return given
    kept = {k: v for k, v in given.items() if k not in (_TOKENS, _FINISHED)} if given else {}
    if sent is not None and sent.token_ids:
        kept |= {_TOKENS: list(sent.token_ids), _FINISHED: int(sent.finished)}
    return kept or None


class ResumableClient:
    """An engine client of vLLM whose `generate` goes on behind tokens in `extra_args`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        """Everything else is the client's."""
        return getattr(self._client, name)

    def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, **more: Any
    ) -> AsyncGenerator[Any, None]:
        """See vLLM's `EngineClient.generate`."""
        sent = (sampling_params.extra_args or {}).get(_TOKENS)
        if not sent:
            outputs: AsyncGenerator[Any, None] = self._client.generate(
                prompt, sampling_params, request_id, **more
            )
            return outputs
        return self._continued(prompt, sampling_params, request_id, sent, more)

    async def _continued(
        self, prompt: Any, params: Any, request_id: str, sent: list[int], more: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        tokens: list[int] = prompt["prompt_token_ids"]
        text = self._text(tokens, params, request_id)
        ended = bool(params.extra_args[_FINISHED])
        for number, token in enumerate(sent, start=1):
            text.update([token], False)
            last = ended and number == len(sent)
            yield _replayed(request_id, tokens, token, text, params, last)
        if ended:
            return
        outputs = self._client.generate(
            {**prompt, "prompt_token_ids": [*tokens, *sent]},
            _rest(params, len(sent)),
            request_id,
            **more,
        )
        async with aclosing(outputs):
            async for output in outputs:
                answer = output.outputs[0]
                stop = text.update(list(answer.token_ids), answer.finish_reason == "stop")
                if stop is not None:
                    answer.finish_reason, answer.stop_reason = "stop", stop
                answer.text = text.get_next_output_text(answer.finish_reason is not None, True)
                output.prompt_token_ids = tokens
                yield output
                if stop is not None:
                    return

    def _text(self, tokens: list[int], params: Any, request_id: str) -> Any:
        from vllm.v1.engine.detokenizer import IncrementalDetokenizer

        request: Any = SimpleNamespace(
            request_id=request_id,
            prompt_token_ids=tokens,
            prompt_embeds=None,
            sampling_params=params,
        )
        tokenizer = self._client.renderer.get_tokenizer()
        return IncrementalDetokenizer.from_new_request(tokenizer, request)


def _rest(params: Any, sent: int) -> Any:
    """What is left to generate. The stop texts are looked for outside, in the whole answer."""
    rest = params.clone()
    rest.max_tokens = params.max_tokens - sent
    rest.min_tokens = max(0, params.min_tokens - sent)
    rest.stop = []
    rest.output_text_buffer_length = 0
    return rest


def _replayed(
    request_id: str, prompt: list[int], token: int, text: Any, params: Any, last: bool
) -> Any:
    """Make the output of a token that was sent. Its event is dropped, so its score may be any."""
    from vllm.logprobs import Logprob
    from vllm.outputs import CompletionOutput, RequestOutput

    scored = params.logprobs is not None or params.logprob_token_ids
    answer = CompletionOutput(
        index=0,
        text=text.get_next_output_text(last, True),
        token_ids=[token],
        cumulative_logprob=None,
        logprobs=[{token: Logprob(0.0, 1, "")}] if scored else None,
        finish_reason="stop" if last else None,
    )
    return RequestOutput(request_id, None, prompt, None, [answer], last, num_cached_tokens=0)


class Unsent:
    """Drops the events that were sent, and gives the others the time of those."""

    def __init__(self, sent: Sent | None) -> None:
        self._sent = sent
        self._again = len(sent.token_ids) if sent is not None else 0

    def event(self, event: bytes) -> bytes | None:
        """Return what the client is to get, None for an event that it has."""
        if self._sent is None:
            return event
        if b'"choices":[{' in event:
            if self._again:
                self._again -= len(token_ids(event))
                return None
            if not tells_tokens(event):  # the role, which comes before all tokens
                return None
        return with_created(event, self._sent.created)


def advance_grammars() -> None:
    """Have grammars of this engine process begin behind the tokens that were sent."""
    from vllm.v1.structured_output import StructuredOutputManager

    create = StructuredOutputManager._create_grammar

    def advanced(self: Any, request: Any) -> Any:
        grammar = create(self, request)
        sent: Sequence[int] = (request.sampling_params.extra_args or {}).get(_TOKENS, ())
        if sent and not grammar.accept_tokens(request.request_id, list(sent)):
            raise ValueError("The tokens that were sent do not follow the grammar.")
        return grammar

    StructuredOutputManager._create_grammar = advanced
