"""An answer's events as OpenAI's response events (its reference: «Responses, streaming»).

created → in_progress → (file_search_call: in_progress, searching, completed) → message: text
deltas, annotations as sentences are attributed → done → completed | incomplete | failed
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any, Final

from cluster.ids import new_id
from cluster.records import now
from deployments.errors import RequestError
from deployments.gateway.grounding.annotations import grounding_summary, response_annotation
from deployments.gateway.grounding.events import (
    AnswerEvent,
    Finished,
    Searched,
    SentenceAttributed,
    TextDelta,
)
from deployments.gateway.responses.objects import (
    message_item,
    output_text,
    public_item,
    public_response,
    search_item,
    usage_of,
)
from deployments.model.messages import Part

__all__ = ["Rendering", "Save"]

_CUT: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by its finish reason."""

Save = Callable[[dict[str, Any], str], Awaitable[None]]
"""Called with the whole response and the answer's text, before the client is told of its end."""


class Rendering:
    """One response on its way to the client. `response` is filled as events come."""

    def __init__(
        self, response: dict[str, Any], *, include: list[Any] | None, trace_id: str, save: Save
    ) -> None:
        self._response = response
        self._include = include
        self._trace_id = trace_id
        self._save = save
        self._sequence = 0
        self._search: dict[str, Any] | None = None
        self._message_id: str | None = None
        self._annotations = 0

    async def whole(self, events: AsyncGenerator[AnswerEvent, None]) -> AsyncGenerator[Part, None]:
        """Collect the events into one JSON body."""
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Searched):
                    self._found(event)
                elif isinstance(event, Finished):
                    await self._finish(event)
                    body = public_response(self._response, self._include)
                    yield Part(json.dumps(body, ensure_ascii=False).encode(), event.usage)

    async def stream(self, events: AsyncGenerator[AnswerEvent, None]) -> AsyncGenerator[Part, None]:
        """Render server-sent events. Until the first text nothing is sent: an error has a status.

        A later error becomes the events `error` and `response.failed`.
        """
        held: list[bytes] = [*self._opening()]
        started = False
        async with aclosing(events):
            try:
                async for event in events:
                    if isinstance(event, Finished):
                        end = [*held, *self._begin_message(), *await self._end(event)]
                        yield Part(b"".join(end), event.usage)
                        return
                    held += self._render(event)
                    started = started or isinstance(event, TextDelta)
                    if started and held:
                        yield Part(b"".join(held))
                        held = []
            except RequestError as error:
                if not started:
                    raise
                yield Part(b"".join(self._failed(error)))

    def _opening(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self._response)
        yield self._event("response.in_progress", response=self._response)

    def _render(self, event: AnswerEvent) -> Iterator[bytes]:
        if isinstance(event, Searched):
            yield from self._searching(event)
        elif isinstance(event, TextDelta):
            yield from self._begin_message()
            yield self._part_event("response.output_text.delta", delta=event.text, logprobs=[])
        elif isinstance(event, SentenceAttributed):
            for citation in event.citations:
                yield self._part_event(
                    "response.output_text.annotation.added",
                    annotation=response_annotation(citation),
                    annotation_index=self._annotations,
                )
                self._annotations += 1

    def _searching(self, event: Searched) -> Iterator[bytes]:
        item_id = new_id("fs")
        at = {"output_index": 0, "item_id": item_id}
        yield self._event(
            "response.output_item.added",
            output_index=0,
            item=search_item(item_id, "in_progress", None),
        )
        for step in ("in_progress", "searching", "completed"):
            yield self._event(f"response.file_search_call.{step}", **at)
        self._found(event, item_id)
        yield self._event(
            "response.output_item.done",
            output_index=0,
            item=self._shown(self._response["output"][0]),
        )

    def _found(self, event: Searched, item_id: str | None = None) -> None:
        self._search = search_item(item_id or new_id("fs"), "completed", event)
        self._response["output"].append(self._search)

    def _shown(self, item: dict[str, Any]) -> dict[str, Any]:
        return item if self._include else public_item(item)

    def _begin_message(self) -> Iterator[bytes]:
        if self._message_id is not None:
            return
        self._message_id = new_id("msg")
        yield self._event(
            "response.output_item.added",
            output_index=self._message_index,
            item=message_item(self._message_id, "in_progress", []),
        )
        yield self._part_event("response.content_part.added", part=output_text("", ()))

    async def _end(self, finished: Finished) -> list[bytes]:
        item = await self._finish(finished)
        part = item["content"][0]
        kind = "completed" if self._response["status"] == "completed" else "incomplete"
        return [
            self._part_event("response.output_text.done", text=finished.text, logprobs=[]),
            self._part_event("response.content_part.done", part=part),
            self._event("response.output_item.done", output_index=self._message_index, item=item),
            self._event(
                f"response.{kind}", response=public_response(self._response, self._include)
            ),
        ]

    async def _finish(self, finished: Finished) -> dict[str, Any]:
        cut = _CUT.get(finished.finish_reason)
        status = "incomplete" if cut else "completed"
        content = [output_text(finished.text, finished.citations)]
        item = message_item(self._message_id or new_id("msg"), status, content)
        self._response["output"].append(item)
        self._response.update(
            status=status,
            completed_at=None if cut else now(),
            incomplete_details={"reason": cut} if cut else None,
            usage=usage_of(finished),
        )
        if self._search is not None:
            self._response["grounding"] = grounding_summary(finished, self._trace_id)
        if finished.guards:
            self._response["guards"] = list(finished.guards)
        await self._save(self._response, finished.text)
        return item

    def _failed(self, error: RequestError) -> Iterator[bytes]:
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        self._response.update(status="failed", error={"code": code, "message": error.message})
        yield self._event("error", code=error.code, message=error.message, param=error.param)
        yield self._event(
            "response.failed", response=public_response(self._response, self._include)
        )

    @property
    def _message_index(self) -> int:
        return 0 if self._search is None else 1

    def _part_event(self, kind: str, **fields: Any) -> bytes:
        return self._event(
            kind,
            item_id=self._message_id,
            output_index=self._message_index,
            content_index=0,
            **fields,
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return f"event: {kind}\ndata: {text}\n\n".encode()
