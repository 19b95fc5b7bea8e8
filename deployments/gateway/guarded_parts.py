"""A model's plain answer through the guards: bytes in, bytes out, in OpenAI's shapes.

Events of a stream that no guard changes are passed on byte for byte. Text that is held back comes
with a later event. A blocked answer ends with the finish reason `content_filter`. The arguments of
tool calls go through the guards as what is said does, each call by itself.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from deployments.gateway.closing import close_parts
from deployments.gateway.guarded_choice import BLOCKED, GuardedChoice, delta_of
from deployments.gateway.guarding import RequestGuards
from deployments.model.messages import Part

__all__ = ["BLOCKED", "guarded"]

_DONE: Final = b"data: [DONE]"


async def guarded(
    guards: RequestGuards,
    parts: Callable[[], AsyncIterator[Part]],
    *,
    streamed: bool,
    schema: Mapping[str, Any] | bool | None = None,
) -> AsyncGenerator[Part, None]:
    """Ask the model by `parts` once the guards let the question pass, and pass its answer on.

    Raises InvalidRequest where they do not.
    """
    await guards.passed()
    answer = parts()
    try:
        if guards.output(schema) is None:
            async for part in answer:
                yield part
            return
        choices = _Choices(guards, schema)
        async for part in answer:
            data = await (choices.events(part.data) if streamed else choices.body(part.data))
            if data or part.usage is not None or part.resumed is not None:
                yield replace(part, data=data)
            if choices.ended:
                return
    finally:
        await close_parts(answer)


class _Choices:
    """The choices of one answer."""

    def __init__(self, guards: RequestGuards, schema: Mapping[str, Any] | bool | None) -> None:
        self._guards = guards
        self._schema = schema
        self._choices: dict[int, GuardedChoice] = {}
        self._open: set[int] = set()
        self._last: dict[str, Any] = {}
        self.ended = False
        """An answer was blocked: nothing may follow."""

    async def body(self, data: bytes) -> bytes:
        """A whole answer."""
        body = _read(data)
        if body is None:
            return data
        changed = False
        for choice in body.get("choices") or ():
            guarded = self._choice(int(choice.get("index", 0)))
            changed = await guarded.whole(choice) or changed
        if acted := self._guards.acted:
            body["guards"], changed = acted, True
        return json.dumps(body, ensure_ascii=False).encode() if changed else data

    async def events(self, data: bytes) -> bytes:
        """Whole events of a stream."""
        out: list[bytes] = []
        for event in data.split(b"\n\n"):
            if not event or self.ended:
                continue
            if event.startswith(_DONE):
                out += await self._rest()
            if event.startswith(b"data: {"):
                out += await self._event(event)
            else:
                out.append(event)
        return b"".join(event + b"\n\n" for event in out)

    async def _event(self, event: bytes) -> list[bytes]:
        body = _read(event[6:])
        if body is None or not body.get("choices"):
            return [event]
        self._last = body
        before: list[bytes] = []
        changed = False
        for choice in body["choices"]:
            guarded = self._choice(int(choice.get("index", 0)))
            owed, otherwise = await guarded.event(choice)
            changed = changed or otherwise
            before += [self._said(guarded.index, delta) for delta in owed]
            if guarded.blocked and choice.get("finish_reason") != BLOCKED:
                return [*before, *self._end()]
            if choice.get("finish_reason") is not None:
                self._open.discard(guarded.index)
        if any(choice.get("finish_reason") for choice in body["choices"]) and self._guards.acted:
            body["guards"], changed = self._guards.acted, True
        if changed and _is_empty(body):
            return before
        return [*before, _event(body) if changed else event]

    async def _rest(self) -> list[bytes]:
        """What is held back of choices that were never said to have ended."""
        found = []
        for index in sorted(self._open):
            name = "content" if "delta" in self._last["choices"][0] else "text"
            deltas = await self._choices[index].rest(name)
            found += [self._said(index, delta) for delta in deltas]
        self._open.clear()
        return found

    def _end(self) -> list[bytes]:
        """End all choices, one of which was blocked."""
        self.ended = True
        for index in self._open:
            self._choices[index].end()
        empty: dict[str, Any] = (
            {"delta": {}} if "delta" in self._last["choices"][0] else {"text": ""}
        )
        choices = [{"index": i, **empty, "finish_reason": BLOCKED} for i in sorted(self._open)]
        last = {**self._last, "choices": choices, "guards": self._guards.acted}
        return [_event(last), _DONE]

    def _said(self, index: int, delta: Mapping[str, Any]) -> bytes:
        """An event that says `delta`, like the last one that came."""
        said: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": None}
        said |= {"delta": delta} if "delta" in self._last["choices"][0] else delta
        return _event({**self._last, "choices": [said]})

    def _choice(self, index: int) -> GuardedChoice:
        if index not in self._choices:
            self._choices[index] = GuardedChoice(index, self._guards, self._schema)
            self._open.add(index)
        return self._choices[index]


def _read(data: bytes) -> dict[str, Any] | None:
    """What a model sent; None where it is no JSON object, which is passed on as it came."""
    try:
        body = json.loads(data)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _is_empty(body: Mapping[str, Any]) -> bool:
    """Whether an event says nothing any more: its text is held back."""
    for choice in body["choices"]:
        delta, name = delta_of(choice)
        rest = {k for k, v in delta.items() if v not in (None, "", []) and k != name}
        if "delta" not in choice:
            rest -= {"index"}
        if delta.get(name) or rest or choice.get("finish_reason") is not None:
            return False
    return "guards" not in body and not body.get("usage")


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
