"""The steps of a prompt, run before its messages are rendered: one request, one trace.

Each step is a model call. It gets an even share of the time that is left for it, the steps after it
and the answer; what it does not use is there for the others. Its output is a variable of what
follows.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from deployments.errors import DeadlineExceeded, RequestError, Unprocessable
from deployments.gateway.choosing import Choice
from deployments.gateway.closing import close_parts
from deployments.gateway.directory import Target
from deployments.gateway.grounding.generation import generate_text
from deployments.gateway.prompting import BY_SEARCH, prompt_errors, told_options, with_question
from deployments.gateway.services import Services
from deployments.model.messages import Part, Usage
from deployments.prompts import Prompt
from deployments.prompts.body import Step
from deployments.tracing.draft import TraceDraft

__all__ = ["Chain", "counted"]

_SAMPLING: Final = ("temperature", "top_p", "seed")
_SHOWN: Final = 200


@dataclass
class Chain:
    """The steps of one request."""

    services: Services
    trace: TraceDraft
    request_id: str
    deadline_s: float
    background: bool
    grounded: bool
    """Whether a search follows, which fills variables of its own."""
    options: Mapping[str, Any]
    """Of the client's body; steps sample as it says."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of the steps so far."""

    async def run(self, choice: Choice, messages: list[dict[str, Any]]) -> Choice:
        """`choice` with the outputs of its prompt's steps among its variables.

        Raises RequestError that names the variable or the step that is at fault.
        """
        prompt = choice.prompt
        if prompt is None or not prompt.body.steps:
            return choice
        given = with_question(prompt, choice.variables, messages)
        with prompt_errors():
            known = prompt.check(given, later=BY_SEARCH if self.grounded else ())
        ends = time.monotonic() + self.deadline_s
        outputs = await self._steps(prompt, known, choice.target, ends, 1, "")
        return replace(choice, variables={**choice.variables, **outputs}, spent=self.usage)

    async def _steps(
        self,
        prompt: Prompt,
        known: Mapping[str, Any],
        target: Target,
        ends: float,
        later: int,
        above: str,
    ) -> dict[str, Any]:
        """Run a prompt's steps, which `later` calls follow. Returns their outputs."""
        outputs: dict[str, Any] = {}
        for number, step in enumerate(prompt.body.steps):
            left = len(prompt.body.steps) - number - 1 + later
            name = f"{above}{step.name}"
            with _named(name, prompt), prompt_errors():
                called = await self.services.prompts.find(step.prompt)
                values = called.check(prompt.step_values(step, {**known, **outputs}))
                answers = target
                if step.model is not None:
                    answers = await self.services.directory.resolve(step.model)
            below = await self._steps(called, values, answers, ends, left + 1, f"{name}.")
            with _named(name, prompt), prompt_errors():
                told = called.render(**values, **below)
                share_s = max(0.0, ends - time.monotonic()) / (left + 1)
                outputs[step.name] = await self._call(name, step, called, told, answers, share_s)
        return outputs

    async def _call(
        self,
        name: str,
        step: Step,
        called: Prompt,
        messages: list[dict[str, str]],
        target: Target,
        share_s: float,
    ) -> Any:
        """Ask the model. Raises RequestError."""
        grounding = self.services.settings.grounding
        sampling = {
            key: self.options[key] for key in _SAMPLING if self.options.get(key) is not None
        }
        body = {
            "temperature": grounding.temperature,
            **sampling,
            "max_tokens": step.max_tokens or grounding.answer_tokens,
            "model": target.name,
            "messages": messages,
        }
        began, text, usage, reason = time.perf_counter(), "", Usage(), None
        pieces = generate_text(
            self.services.models[target.base],
            told_options(called, body),
            f"{self.request_id}-{name}",
            share_s,
            target.adapter,
            background=self.background,
        )
        try:
            async with asyncio.timeout(share_s), aclosing(pieces):
                async for piece in pieces:
                    if piece.resumed is not None:
                        self.trace.went_on(piece.resumed)
                    text += piece.text
                    usage = piece.usage or usage
                    reason = piece.finish_reason or reason
        except TimeoutError:
            raise DeadlineExceeded(
                f"it took longer than its share of the request's time, {share_s:.1f} s.",
                code="deadline_exceeded",
            ) from None
        self._note(name, called, target, text, usage, (time.perf_counter() - began) * 1000)
        is_json = step.output == "json" or (
            step.output is None and called.body.output_schema is not None
        )
        return _parsed(text, reason) if is_json else text.strip()

    def _note(
        self, name: str, called: Prompt, target: Target, text: str, usage: Usage, ms: float
    ) -> None:
        self.usage = self.usage + usage
        self.trace.body.setdefault("steps", []).append(
            {
                "name": name,
                "prompt_version": called.version,
                "model": target.name,
                "tokens": {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens},
                "ms": round(ms, 3),
            }
        )
        self.trace.body.setdefault("step_outputs", {})[name] = text


@contextmanager
def _named(step: str, prompt: Prompt) -> Iterator[None]:
    """Say in an error which step it came from."""
    try:
        yield
    except RequestError as error:
        raise type(error)(
            f"The step {step} of {prompt.version} failed: {error.message}",
            param=f"prompt.steps.{step}",
            code=error.code,
            retry_after_s=error.retry_after_s,
        ) from error


def _parsed(text: str, reason: str | None) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        cut = "; it was cut at its token limit" if reason == "length" else ""
        raise Unprocessable(
            f"its output is no JSON{cut}: {text[:_SHOWN]!r}.", code="step_output_invalid"
        ) from error


async def counted(parts: AsyncIterator[Part], spent: Usage) -> AsyncGenerator[Part, None]:
    """Pass a model's parts on, with the tokens of the steps in the usage that they tell."""
    try:
        async for part in parts:
            if part.usage is None and b'"usage"' not in part.data:
                yield part
                continue
            usage = part.usage and spent + part.usage
            yield replace(part, data=_recounted(part.data, spent), usage=usage)
    finally:
        await close_parts(parts)


def _recounted(data: bytes, spent: Usage) -> bytes:
    if not data.startswith(b"data: "):
        return _with_usage(data, spent)
    events = data.split(b"\n\n")
    return b"\n\n".join(
        b"data: " + _with_usage(event[6:], spent) if event.startswith(b"data: {") else event
        for event in events
    )


def _with_usage(data: bytes, spent: Usage) -> bytes:
    body = json.loads(data)
    used = body.get("usage")
    if not used:
        return data
    used["prompt_tokens"] += spent.prompt_tokens
    used["completion_tokens"] += spent.completion_tokens
    used["total_tokens"] = used["prompt_tokens"] + used["completion_tokens"]
    return json.dumps(body, ensure_ascii=False).encode()
