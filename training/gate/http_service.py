"""The running application over HTTP, through the openai client.

`return_token_ids` and `prompt_logprobs` are vLLM's additions to OpenAI's bodies.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from cluster.client import openai_client, translated_errors
from training.errors import GateError
from training.examples import Message
from training.gate.graders import grade_rows
from training.gate.served import Graded, ServedAnswer

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["HttpService"]

_OLDER: Final = "Serve the model with vLLM 0.29 or later."


class HttpService:
    """See `training.gate.served.Served`. Safe to call from several threads."""

    def __init__(
        self,
        base_url: str,
        api_key: str | Callable[[], str] | None = None,
        *,
        retries: int = 8,
        timeout_s: float = 300.0,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`base_url` ends in `/v1`; `api_key`: see `cluster.client.openai_client`.

        `more` goes into the body of each question of `chat`: file_search, prompt.

        The client waits as long as a 429 or 503 asks, up to a minute, before each of `retries`.
        """
        self._base_url = base_url
        self._api_key = api_key
        self._retries = retries
        self._timeout_s = timeout_s
        self._more = dict(more or {})

    @cached_property
    def _client(self) -> "OpenAI":
        client = openai_client(self._base_url, timeout_s=self._timeout_s, key=self._api_key)
        return client.with_options(max_retries=self._retries)

    def chat(
        self,
        model: str,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        max_tokens: int,
        seed: int,
    ) -> ServedAnswer:
        """See `Served.chat`."""
        with translated_errors(self._base_url):
            response = self._client.chat.completions.with_raw_response.create(
                **_conversation(model, messages, tools),
                temperature=0,
                seed=seed,
                max_tokens=max_tokens,
                extra_body=self._more,
            )
            done = response.parse()
        choice, usage = done.choices[0], done.usage
        return ServedAnswer(
            text=choice.message.content or "",
            tokens=usage.completion_tokens if usage else 0,
            seconds=response.elapsed.total_seconds(),
            cut=choice.finish_reason == "length",
        )

    def complete(
        self, model: str, prompt: Sequence[int], *, max_tokens: int, seed: int
    ) -> ServedAnswer:
        """See `Served.complete`."""
        with translated_errors(self._base_url):
            response = self._client.completions.with_raw_response.create(
                model=model, prompt=list(prompt), temperature=0, seed=seed, max_tokens=max_tokens
            )
            done = response.parse()
        choice, usage = done.choices[0], done.usage
        return ServedAnswer(
            text=choice.text,
            tokens=usage.completion_tokens if usage else 0,
            seconds=response.elapsed.total_seconds(),
            cut=choice.finish_reason == "length",
        )

    def rendered(
        self, model: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> tuple[int, ...]:
        """See `Served.rendered`. Raises GateError where the service does not tell its tokens."""
        with translated_errors(self._base_url):
            done = self._client.chat.completions.create(
                **_conversation(model, messages, tools),
                temperature=0,
                max_tokens=1,
                extra_body={"return_token_ids": True},
            )
        tokens = (done.model_extra or {}).get("prompt_token_ids")
        if not tokens:
            raise GateError(
                f"The service does not tell the tokens that {model} is given.", fix=_OLDER
            )
        return tuple(tokens)

    def log_probabilities(self, model: str, tokens: Sequence[int], start: int) -> tuple[float, ...]:
        """See `Served.log_probabilities`. Raises GateError where the service does not tell them."""
        with translated_errors(self._base_url):
            done = self._client.completions.create(
                model=model,
                prompt=list(tokens),
                temperature=0,
                max_tokens=1,
                extra_body={"prompt_logprobs": 0},
            )
        told = (done.choices[0].model_extra or {}).get("prompt_logprobs")
        if not told or len(told) != len(tokens):
            raise GateError(
                f"The service does not tell the log-probabilities of {model}.", fix=_OLDER
            )
        pairs = zip(tokens[start:], told[start:], strict=True)
        found = [at[str(token)]["logprob"] for token, at in pairs]
        if None in found:  # JSON has no NaN
            raise GateError(
                f"A log-probability of {model} is no number.", fix="Look at its weights."
            )
        return tuple(map(float, found))

    def grade(
        self,
        grader: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
        *,
        timeout_s: float,
        say: Callable[[str], None],
    ) -> Graded:
        """See `Served.grade`. Raises GateError for a run that fails or takes too long."""
        with translated_errors(self._base_url):
            return grade_rows(self._client, grader, rows, timeout_s=timeout_s, say=say)


def _conversation(
    model: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [dict(message) for message in messages]}
    return {**body, "tools": [dict(tool) for tool in tools]} if tools else body
