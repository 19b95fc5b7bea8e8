"""The answer path: question → retrieve → decide → pack → render → generate → attribute → trace."""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from cluster.adapters import AdapterFiles
from cluster.errors import EverloopError
from cluster.ids import DEFAULT_PROJECT
from cluster.settings import GroundingSettings
from deployments.errors import NotFound, RequestError
from deployments.gateway.choosing import Choice
from deployments.gateway.grounding.attribution import Attributor, SentenceSupport, groundedness
from deployments.gateway.grounding.budget import check_budget, fit_texts, fit_turns
from deployments.gateway.grounding.chat import chat_body, chat_options, chat_stream
from deployments.gateway.grounding.conversation import Conversation, read_conversation
from deployments.gateway.grounding.events import (
    AnswerEvent,
    Citation,
    Finished,
    Searched,
    SentenceAttributed,
    TextDelta,
)
from deployments.gateway.grounding.generation import generate_text
from deployments.gateway.grounding.highlights import highlights
from deployments.gateway.grounding.markers import MarkerFilter
from deployments.gateway.grounding.options import FileSearch, parse_file_search
from deployments.gateway.grounding.packing import PackedPassage, Packing, pack, passage_budget
from deployments.gateway.grounding.sentence_stream import SentenceStream
from deployments.gateway.grounding.support import SupportThresholds, decide_support
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.grounding.tracing import trace_decision, trace_packing, trace_result
from deployments.gateway.grounding.windows import SourcePassage
from deployments.gateway.prompting import check_grounded, prompt_errors, told_options
from deployments.model.messages import ModelCall, Part, Usage
from deployments.ports import AnswerScorer, ChatModel, PassageSearch, TextEmbedder
from deployments.prompts import Prompt, PromptLibrary
from deployments.retriever.messages import RetrievedPassage
from deployments.serving import Retrieval
from deployments.tracing.draft import TraceDraft
from deployments.tracing.policy import is_sampled

__all__ = ["AnswerRequest", "ChatProfile", "GroundedAnswerer", "PreparedAnswer"]

_log = logging.getLogger(__name__)
_SEARCH_QUERY: Final = "search_query"
_HIGHLIGHTS: Final = 2
_HIGHLIGHT_TOKENS: Final = 120
"""Room for them, which passages do not get."""


class ChatProfile(NamedTuple):
    """A chat model, and what the token budget needs to know of it."""

    model: ChatModel
    counter: TokenCounter
    context_tokens: int


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question, grounded where `search` is given."""

    model: str
    """Id of the served model."""
    messages: list[dict[str, Any]]
    search: FileSearch | None
    options: dict[str, Any]
    """The rest of a chat body: temperature, stop, seed, max_tokens, response_format…"""
    request_id: str
    deadline_s: float
    project_id: str = DEFAULT_PROJECT
    adapter: AdapterFiles | None = None
    """What answers on top of the model."""
    background: bool = False
    """Gives way to users' requests; it is not scored as one of theirs."""
    prompt: Prompt | None = None
    """What the model is told, in place of the default prompt; its messages stand already in
    `messages` where nothing is searched."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Of a prompt with passages: the client's values beside those that grounding gives."""
    retrieval: Retrieval = field(default_factory=Retrieval)
    """How passages are found where `search` does not say."""
    spent: Usage = field(default_factory=Usage)
    """Tokens of the prompt's steps, which ran before; the answer's usage has them too."""

    @property
    def answers(self) -> str:
        """What the answer gives as its model."""
        return self.model if self.adapter is None else self.adapter.id


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """All that stands before the model starts: what `prepare` made for `stream`."""

    request: AnswerRequest
    profile: ChatProfile
    body: dict[str, Any]
    query: str = ""
    found: tuple[RetrievedPassage, ...] = ()
    packing: Packing | None = None
    refusal: str | None = None
    """Said instead of asking the model, where nothing supports an answer."""
    attributor: Attributor | None = field(default=None, repr=False)
    is_json: bool = False

    @property
    def temperature(self) -> float | None:
        """What the model samples with, where that is known."""
        return self.body.get("temperature")


class GroundedAnswerer:
    """Answers questions from documents, and plain ones, as one stream of events.

    `prepare` does everything before the model and raises what the client did wrong; `stream` asks
    the model and attributes each sentence while the next one is generated. Both write what they
    learn to the request's TraceDraft; whoever owns the request records it. A sampled answer is
    handed to the evaluator without waiting for it.
    """

    def __init__(
        self,
        *,
        retriever: PassageSearch,
        profiles: Mapping[str, ChatProfile],
        embedder: TextEmbedder,
        prompts: PromptLibrary,
        evaluator: AnswerScorer,
        settings: GroundingSettings,
        sample_rate: float = 1.0,
    ) -> None:
        self._retriever: Final = retriever
        self._profiles: Final = profiles
        self._embedder: Final = embedder
        self._prompt: Final = prompts.get(settings.prompt)
        self._evaluator: Final = evaluator
        self._settings: Final = settings
        self._sample_rate: Final = sample_rate
        self._submissions: Final[set[asyncio.Task[None]]] = set()

    async def prepare(self, request: AnswerRequest, trace: TraceDraft) -> PreparedAnswer:
        """Search, decide, pack and render. Raises RequestError."""
        profile = self._profiles.get(request.model)
        if profile is None:
            raise NotFound(
                f"The model {request.model!r} does not exist; GET /v1/models lists those there "
                "are.",
                param="model",
                code="model_not_found",
            )
        trace.model, trace.project_id = request.answers, request.project_id
        if request.search is None:
            if request.prompt is not None:
                trace.body["messages"] = request.messages
            body = {**request.options, "model": request.answers, "messages": request.messages}
            return PreparedAnswer(request, profile, body, is_json=_wants_json(request.options))
        return await self._ground(request, request.search, profile, trace)

    async def stream(
        self, prepared: PreparedAnswer, trace: TraceDraft
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the answer's events. Closing the generator stops the model.

        Raises RequestError, before the first TextDelta or in the middle of the answer.
        """
        if prepared.request.search is not None:
            yield Searched(prepared.query, prepared.found)
        if prepared.refusal is not None:
            events = _refuse(prepared.refusal)
        else:
            events = _Answering(prepared, trace).events()
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Finished):
                    event = replace(event, usage=prepared.request.spent + event.usage)
                    self._conclude(prepared, trace, event)
                yield event

    def count_tokens(self, model: str, messages: list[dict[str, str]]) -> int:
        """Upper bound of the tokens of a chat, by the tokenizer of a served model."""
        return self._profiles[model].counter.count_messages(messages)

    async def chat(
        self, call: ModelCall, trace: TraceDraft, choice: Choice
    ) -> AsyncGenerator[Part, None]:
        """Answer a `/v1/chat/completions` body that has `file_search`, as a model would.

        Stands where `ChatModel.generate` does: for `stream: true` server-sent events, otherwise one
        JSON body. `choice` says who answers, by which prompt. Raises RequestError and, for a
        malformed `file_search`, FastAPI's RequestValidationError, both before the first Part or in
        the middle. Closing it stops the model.
        """
        body = call.body
        request = AnswerRequest(
            model=choice.target.base,
            adapter=call.adapter,
            messages=body.get("messages") or [],
            search=parse_file_search(body),
            options=told_options(choice.prompt, chat_options(body))
            if choice.prompt
            else chat_options(body),
            request_id=call.request_id,
            deadline_s=call.deadline_s,
            background=call.background,
            prompt=choice.prompt,
            variables=choice.variables,
            retrieval=choice.retrieval,
            spent=choice.spent,
        )
        prepared = await self.prepare(request, trace)
        events = self.stream(prepared, trace)
        if body.get("stream"):
            include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            parts = chat_stream(
                events,
                request.answers,
                trace.id,
                request.request_id,
                include_usage=include_usage,
            )
        else:
            parts = chat_body(events, request.answers, trace.id, request.request_id)
        async with aclosing(parts):
            async for part in parts:
                yield part

    async def _ground(
        self, request: AnswerRequest, search: FileSearch, profile: ChatProfile, trace: TraceDraft
    ) -> PreparedAnswer:
        prompt = request.prompt or self._prompt
        check_grounded(prompt)
        conversation = read_conversation(request.messages)
        query = _searched_for(request) or conversation.query()
        trace.question, trace.prompt_version = conversation.question, prompt.version
        trace.body.update(query=query, vector_store_ids=list(search.vector_store_ids))
        with trace.stage("retrieve"):
            result = await self._retriever.search(
                search.request(
                    query, request.project_id, self._settings.max_passages, request.retrieval
                )
            )
        trace.timings_ms.update({f"retrieve_{k}": v for k, v in result.timings_ms.items()})
        with trace.stage("decide"):
            thresholds = SupportThresholds(
                self._settings.min_similarity, self._settings.min_term_coverage
            )
            decision = decide_support(query, result.passages, thresholds)
        trace_decision(trace, decision)
        is_json = _wants_json(request.options)
        if not decision.supported and prompt.refusal is not None and not is_json:
            trace_packing(trace, None, result.passages)
            return PreparedAnswer(
                request, profile, {}, query, result.passages, refusal=prompt.refusal
            )
        with trace.stage("pack"):
            turns, packing = self._pack(request, search, conversation, profile, result.passages)
        trace_packing(trace, packing, ())
        trace.body["turns_left_out"] = len(conversation.turns) - len(turns)
        with trace.stage("render"):
            messages = self._render(request, conversation, turns, packing.used, profile.counter)
        trace.body["messages"] = messages
        return PreparedAnswer(
            request,
            profile,
            self._model_body(request, messages),
            query,
            result.passages,
            packing,
            attributor=self._attributor(packing),
            is_json=is_json,
        )

    def _pack(
        self,
        request: AnswerRequest,
        search: FileSearch,
        conversation: Conversation,
        profile: ChatProfile,
        passages: tuple[RetrievedPassage, ...],
    ) -> tuple[list[dict[str, str]], Packing]:
        counter, context = profile.counter, profile.context_tokens
        answer = _asked_tokens(request.options) or self._settings.answer_tokens
        prompt = counter.count_messages(self._render(request, conversation, [], (), counter))
        if "highlights" in (request.prompt or self._prompt).variables:
            prompt += _HIGHLIGHT_TOKENS
        turns, turn_tokens = fit_turns(
            conversation.turns, counter, (context - answer - prompt) // 2
        )
        budget = passage_budget(
            context, prompt + turn_tokens, answer, self._settings.max_context_tokens
        )
        check_budget(budget, prompt, answer, context)
        limit = search.limit(self._settings.max_passages, request.retrieval)
        return turns, pack(passages, counter, budget, limit)

    def _render(
        self,
        request: AnswerRequest,
        conversation: Conversation,
        turns: list[dict[str, str]],
        used: tuple[PackedPassage, ...],
        counter: TokenCounter,
    ) -> list[dict[str, str]]:
        """Put the earlier turns between the prompt's system message and its last one."""
        prompt = request.prompt or self._prompt
        given: dict[str, Any] = {
            "passages": [
                {"number": p.number, "text": p.text, "source": p.passage.filename} for p in used
            ],
            "question": conversation.question,
            "instructions": conversation.instructions,
        }
        if "highlights" in prompt.variables:
            texts = [passage.text for passage in used]
            query = _searched_for(request) or conversation.query()
            best = highlights(query, texts, _HIGHLIGHTS)
            given["highlights"] = fit_texts(best, counter, _HIGHLIGHT_TOKENS)
        own = {name: value for name, value in given.items() if name in prompt.variables}
        with prompt_errors():
            rendered = prompt.render(**{**request.variables, **own})
        return [*rendered[:-1], *turns, rendered[-1]]

    def _model_body(self, request: AnswerRequest, messages: list[dict[str, str]]) -> dict[str, Any]:
        body: dict[str, Any] = {"temperature": self._settings.temperature, **request.options}
        if body.get("temperature") is None:
            body["temperature"] = self._settings.temperature
        if _asked_tokens(body) is None:
            body["max_tokens"] = self._settings.answer_tokens
        stop = (request.prompt or self._prompt).stop
        if not body.get("stop") and stop:
            body["stop"] = list(stop)
        return {**body, "model": request.answers, "messages": messages}

    def _attributor(self, packing: Packing) -> Attributor:
        sources = [
            SourcePassage(
                index, used.text, " ".join((*used.passage.section, used.passage.filename))
            )
            for index, used in enumerate(packing.used)
        ]
        return Attributor(
            sources,
            self._embedder,
            overlap=self._settings.attribution_overlap,
            similarity=self._settings.attribution_similarity,
        )

    def _conclude(self, prepared: PreparedAnswer, trace: TraceDraft, event: Finished) -> None:
        if prepared.request.search is None:
            trace.question = trace.question or _last_text(prepared.request.messages)
        trace_result(trace, event)
        grounded = prepared.request.search is not None
        seen = not prepared.request.background or trace.shadow_of is not None
        scored = grounded and seen
        if scored and is_sampled(trace.id, self._sample_rate):
            trace.body["evaluate"] = True
            task = asyncio.get_running_loop().create_task(self._submit(trace.id))
            self._submissions.add(task)
            task.add_done_callback(self._submissions.discard)

    async def _submit(self, trace_id: str) -> None:
        try:
            if not await self._evaluator.submit(trace_id):
                _log.info("The evaluator's queue is full: %s is not scored", trace_id)
        except EverloopError as error:
            _log.warning("Trace %s was not handed to the evaluator: %s", trace_id, error)


class _Answering:
    """One generation: text on its way out, sentences being attributed behind it."""

    def __init__(self, prepared: PreparedAnswer, trace: TraceDraft) -> None:
        self._prepared = prepared
        self._trace = trace
        self._markers = MarkerFilter() if self._strips_markers else None
        self._sentences = SentenceStream()
        self._tasks: deque[asyncio.Task[SentenceSupport]] = deque()
        self._attributed: list[SentenceSupport] = []
        self._citations: list[Citation] = []
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._warm: asyncio.Future[None] | None = None

    @property
    def _strips_markers(self) -> bool:
        """Not from JSON, where `[1]` is a list, and not from plain answers."""
        return self._prepared.attributor is not None and not self._prepared.is_json

    async def events(self) -> AsyncGenerator[AnswerEvent, None]:
        """Yield text as it comes and sentences as they are attributed."""
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
            yield self._finished()
        except RequestError as error:
            self._trace.fail(error)
            raise
        finally:
            for task in self._tasks:
                task.cancel()
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
        self._trace.timings_ms["before_model"] = _since(self._trace.started)
        self._trace.begin("generate")
        pieces = generate_text(
            profile.model,
            self._prepared.body,
            request.request_id,
            request.deadline_s,
            request.adapter,
            background=request.background,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                if piece.text and "model_first_token" not in self._trace.timings_ms:
                    self._trace.timings_ms["model_first_token"] = _since(started)
                self._finish_reason = piece.finish_reason or self._finish_reason
                self._usage = piece.usage or self._usage
                yield self._markers.feed(piece.text) if self._markers else piece.text
        self._trace.end("generate")
        if self._markers:
            yield self._markers.finish()

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
        return await attributor.attribute(sentence, start)

    def _ready(self) -> list[SentenceAttributed]:
        """Take the attributions that are done, in the order of the sentences."""
        events = []
        while self._tasks and self._tasks[0].done():
            sentence = self._tasks.popleft().result()
            citations = self._cite(sentence)
            self._attributed.append(sentence)
            self._citations += citations
            events.append(SentenceAttributed(sentence, citations))
        return events

    def _cite(self, sentence: SentenceSupport) -> tuple[Citation, ...]:
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
            for support in sentence.supports
        )

    def _finished(self) -> Finished:
        return Finished(
            self._sentences.text,
            self._finish_reason or "stop",
            self._usage,
            sentences=tuple(self._attributed),
            citations=tuple(self._citations),
            groundedness=groundedness(self._attributed),
        )


async def _refuse(text: str) -> AsyncGenerator[AnswerEvent, None]:
    """Say `text` word by word, as a model would, without annotations."""
    for position, word in enumerate(text.split(" ")):
        yield TextDelta(f" {word}" if position else word)
    yield Finished(text, "stop", Usage(), refused=True)


def _wants_json(options: Mapping[str, Any]) -> bool:
    chosen = options.get("response_format")
    return isinstance(chosen, dict) and chosen.get("type") not in {None, "text"}


def _asked_tokens(options: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if isinstance(value := options.get(name), int):
            return value
    return None


def _searched_for(request: AnswerRequest) -> str | None:
    """The output of the prompt's step `search_query`, where it has one."""
    steps = request.prompt.body.steps if request.prompt is not None else ()
    made = any(step.name == _SEARCH_QUERY for step in steps)
    return str(request.variables[_SEARCH_QUERY]) if made else None


def _last_text(messages: list[dict[str, Any]]) -> str | None:
    content = messages[-1].get("content") if messages else None
    return content if isinstance(content, str) else None if content is None else json.dumps(content)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
