"""One answer on its way: text goes out while the sentences before it are attributed."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from deployments.errors import RequestError
from deployments.gateway.grounding.answer_request import PreparedAnswer
from deployments.gateway.grounding.attribution import (
    Attributor,
    SentenceSupport,
    Support,
    groundedness,
)
from deployments.gateway.grounding.events import (
    AnswerEvent,
    Citation,
    Finished,
    SentenceAttributed,
    TextDelta,
)
from deployments.gateway.grounding.generation import generate_text
from deployments.gateway.grounding.markers import MarkerFilter
from deployments.gateway.grounding.sentence_stream import SentenceStream
from deployments.gateway.guarded_parts import BLOCKED
from deployments.guards.checks.schema import demanded_schema
from deployments.guards.stream import OutputScreen
from deployments.model.messages import Usage
from deployments.tracing.draft import TraceDraft

__all__ = ["Answering", "refuse"]


class Answering:
    """One generation: text on its way out, sentences being attributed behind it."""

    def __init__(self, prepared: PreparedAnswer, trace: TraceDraft) -> None:
        self._prepared = prepared
        self._trace = trace
        self._markers = MarkerFilter() if self._strips_markers else None
        self._sentences = SentenceStream()
        self._tasks: deque[asyncio.Task[SentenceSupport]] = deque()
        self._attributed: list[SentenceSupport] = []
        self._citations: list[Citation] = []
        self._contradictions: list[Citation] = []
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._warm: asyncio.Future[None] | None = None
        self._guards = prepared.request.guards
        self._screen: OutputScreen | None = None
        if self._guards is not None:
            demanded = demanded_schema(prepared.request.options.get("response_format"))
            self._screen = self._guards.output(demanded)

    @property
    def _strips_markers(self) -> bool:
        """Not from JSON, where `[1]` is a list, and not from plain answers."""
        return self._prepared.attributor is not None and not self._prepared.is_json

    async def events(self) -> AsyncGenerator[AnswerEvent, None]:
        """Yield text as it comes and sentences as they are attributed."""
        whole = False
        try:
            async with aclosing(self._texts()) as texts, aclosing(self._woken(texts)) as pieces:
                async for text in pieces:
                    if text:
                        self._attribute(self._sentences.feed(text))
                        yield TextDelta(text)
                    for event in self._ready():
                        yield event
            self._attribute(self._sentences.finish())
            self._trace.begin("attribution_wait")
            while self._tasks:
                await asyncio.wait([self._tasks[0]])
                for event in self._ready():
                    yield event
            self._trace.end("attribution_wait")
            whole = True
            yield self._finished()
        except RequestError as error:
            self._trace.fail(error)
            raise
        finally:
            for task in self._tasks:
                task.cancel()
            if not whole:  # else whoever takes `Finished` writes what was passed on
                self._trace.answer = self._sentences.text

    async def _woken(self, texts: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        """Yield the texts, and an empty one whenever an attribution is done before the next."""
        upcoming: asyncio.Future[str | None] | None = None
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(texts, None))
                waiting: list[asyncio.Future[Any]] = [upcoming, *list(self._tasks)[:1]]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if not upcoming.done():
                    yield ""
                    continue
                text, upcoming = upcoming.result(), None
                if text is None:
                    return
                yield text
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.wait([upcoming])

    async def _texts(self) -> AsyncGenerator[str, None]:
        request, profile = self._prepared.request, self._prepared.profile
        started = time.perf_counter()
        if (attributor := self._prepared.attributor) is not None:
            self._warm = asyncio.get_running_loop().run_in_executor(None, attributor.warm_up)
        self._trace.timings_ms.setdefault("before_model", _since(self._trace.started))
        self._trace.begin("generate")
        pieces = generate_text(
            profile.model,
            self._prepared.body,
            request.request_id,
            request.left_s,
            request.adapter,
            background=request.background,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                if piece.resumed is not None:
                    self._trace.went_on(piece.resumed)
                if piece.text and "model_first_token" not in self._trace.timings_ms:
                    self._trace.timings_ms["model_first_token"] = _since(started)
                self._finish_reason = piece.finish_reason or self._finish_reason
                self._usage = piece.usage or self._usage
                yield await self._let_out(
                    self._markers.feed(piece.text) if self._markers else piece.text
                )
                if self._is_blocked:
                    break
        self._trace.end("generate")
        if self._markers:
            yield await self._let_out(self._markers.finish())
        if self._screen is not None and self._guards is not None:
            yield await self._screen.finish()
            self._guards.said(self._screen)
        if self._is_blocked:
            self._finish_reason = BLOCKED

    async def _let_out(self, text: str) -> str:
        """What the guards let out now."""
        return text if self._screen is None else await self._screen.feed(text)

    @property
    def _is_blocked(self) -> bool:
        return self._screen is not None and bool(self._screen.blocked)

    def _attribute(self, spans: list[tuple[int, int]]) -> None:
        if (attributor := self._prepared.attributor) is None:
            return
        for start, end in spans:
            sentence = self._sentences.text[start:end]
            self._tasks.append(
                asyncio.create_task(self._attributed_by(attributor, sentence, start))
            )

    async def _attributed_by(
        self, attributor: Attributor, sentence: str, start: int
    ) -> SentenceSupport:
        if self._warm is not None:
            await asyncio.shield(self._warm)
        found = await attributor.attribute(sentence, start)
        judge = self._prepared.judge
        return found if judge is None else await judge.decide(sentence, found)

    def _ready(self) -> list[SentenceAttributed]:
        """Take the attributions that are done, in the order of the sentences."""
        events = []
        while self._tasks and self._tasks[0].done():
            sentence = self._tasks.popleft().result()
            citations = self._cite(sentence, sentence.supports)
            self._attributed.append(sentence)
            self._citations += citations
            if (against := sentence.contradicted_by) is not None:
                self._contradictions += self._cite(sentence, (against,))
            events.append(SentenceAttributed(sentence, citations))
        return events

    def _cite(self, sentence: SentenceSupport, places: Sequence[Support]) -> tuple[Citation, ...]:
        packing = self._prepared.packing
        if packing is None:
            return ()
        return tuple(
            Citation(
                sentence.start,
                sentence.end,
                packing.used[support.passage].passage,
                packing.used[support.passage].number,
                packing.used[support.passage].text[support.start : support.end],
                support.score,
                support.method,
            )
            for support in places
        )

    def _finished(self) -> Finished:
        return Finished(
            self._sentences.text,
            self._finish_reason or "stop",
            self._usage,
            sentences=tuple(self._attributed),
            citations=tuple(self._citations),
            groundedness=groundedness(self._attributed),
            contradictions=tuple(self._contradictions),
        )


async def refuse(text: str) -> AsyncGenerator[AnswerEvent, None]:
    """Say `text` word by word, as a model would, without annotations."""
    for position, word in enumerate(text.split(" ")):
        yield TextDelta(f" {word}" if position else word)
    yield Finished(text, "stop", Usage(), refused=True)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
