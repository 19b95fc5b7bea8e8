"""The answer path: question → retrieve → decide → pack → render → generate → attribute → trace."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from cluster.errors import EverloopError
from cluster.settings import GroundingSettings
from deployments.errors import NotFound
from deployments.gateway.choosing import Choice
from deployments.gateway.grounding.answer_request import AnswerRequest, ChatProfile, PreparedAnswer
from deployments.gateway.grounding.answering import refuse
from deployments.gateway.grounding.attribution import Attributor
from deployments.gateway.grounding.budget import (
    check_budget,
    fit_texts,
    fit_turns,
)
from deployments.gateway.grounding.chat import chat_body, chat_options, chat_stream
from deployments.gateway.grounding.checking import FactCheck
from deployments.gateway.grounding.conversation import Conversation, read_conversation
from deployments.gateway.grounding.earlier import EarlierAnswer, EarlierAnswers, say_again
from deployments.gateway.grounding.events import AnswerEvent, Finished, Searched
from deployments.gateway.grounding.highlights import highlights
from deployments.gateway.grounding.options import FileSearch, parse_file_search
from deployments.gateway.grounding.packing import PackedPassage, Packing, pack, passage_budget
from deployments.gateway.grounding.support import SupportThresholds, decide_support
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.grounding.tracing import trace_decision, trace_packing, trace_result
from deployments.gateway.grounding.windows import SourcePassage
from deployments.gateway.guarding import RequestGuards
from deployments.gateway.prompting import check_grounded, prompt_errors, told_options
from deployments.gateway.token_estimate import asked_tokens
from deployments.limits.ladder import Step
from deployments.limits.lease import give_up
from deployments.model.messages import ModelCall, Part
from deployments.ports import AnswerScorer, PassageSearch, TextEmbedder
from deployments.prompts import PromptLibrary
from deployments.retriever.messages import RetrievedPassage, SearchResult
from deployments.tracing.draft import TraceDraft
from deployments.tracing.policy import is_sampled

__all__ = ["GroundedAnswerer"]

_log = logging.getLogger(__name__)
_SEARCH_QUERY: Final = "search_query"
_HIGHLIGHTS: Final = 2
_HIGHLIGHT_TOKENS: Final = 120
"""Room for them, which passages do not get."""


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
        earlier: EarlierAnswers | None = None,
        fewer_passages: int = 2,
    ) -> None:
        self._retriever: Final = retriever
        self._profiles: Final = profiles
        self._embedder: Final = embedder
        self._prompt: Final = prompts.get(settings.prompt)
        self._evaluator: Final = evaluator
        self._settings: Final = settings
        self._fact_check: Final = FactCheck(settings.fact_check, profiles)
        self._sample_rate: Final = sample_rate
        self._earlier: Final = earlier
        self._fewer_passages: Final = fewer_passages
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
            if request.guards is not None:
                await request.guards.passed()
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
            events = refuse(prepared.refusal)
        elif prepared.earlier is not None:
            events = say_again(prepared.earlier)
        else:
            prompt = prepared.request.prompt or self._prompt
            events = self._fact_check.events(prepared, trace, prompt.refusal)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Finished):
                    guards = prepared.request.guards
                    event = replace(
                        event,
                        usage=prepared.request.spent + event.usage,
                        guards=tuple(guards.acted if guards is not None else ()),
                    )
                    self._conclude(prepared, trace, event)
                yield event

    def count_tokens(self, model: str, messages: list[dict[str, str]]) -> int:
        """Upper bound of the tokens of a chat, by the tokenizer of a served model."""
        return self._profiles[model].counter.count_messages(messages)

    async def chat(
        self,
        call: ModelCall,
        trace: TraceDraft,
        choice: Choice,
        guards: RequestGuards | None = None,
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
            ease=choice.ease,
            guards=guards,
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
        if request.ease.step >= Step.CACHED_ANSWER and self._earlier is not None:
            earlier = await self._earlier.find(request, prompt.version)
            if earlier is not None:
                if request.guards is not None:
                    await request.guards.passed()
                give_up("cached_answer", trace)
                return PreparedAnswer(request, profile, {}, query, earlier.found, earlier=earlier)
        if request.ease.refusal is not None:
            raise request.ease.refusal
        keep_as = None
        if request.ease.step >= Step.FEWER_PASSAGES:
            search = search.fewer(self._fewer_passages)
            give_up("fewer_passages", trace)
        elif self._earlier is not None:
            keep_as = await self._earlier.name(request, prompt.version)
        with trace.stage("retrieve"):
            result = await self._search(request, search, query)
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
            keep_as=keep_as,
            attributor=self._attributor(packing),
            judge=self._fact_check.judge(packing, request),
            is_json=is_json,
        )

    async def _search(self, request: AnswerRequest, search: FileSearch, query: str) -> SearchResult:
        """Search while the guards look at the question; then they look at what was found."""
        wanted = search.request(
            query,
            request.project_id,
            self._settings.max_passages,
            request.retrieval,
            request.left_s,
        )
        if request.guards is None:
            return await self._retriever.search(wanted)
        searching = asyncio.ensure_future(self._retriever.search(wanted))
        try:
            await asyncio.sleep(0)  # the search leaves first
            await request.guards.passed()
            result = await searching
        finally:
            searching.cancel()
            await asyncio.wait([searching])
        return replace(result, passages=await request.guards.passages(result.passages))

    def _pack(
        self,
        request: AnswerRequest,
        search: FileSearch,
        conversation: Conversation,
        profile: ChatProfile,
        passages: tuple[RetrievedPassage, ...],
    ) -> tuple[list[dict[str, str]], Packing]:
        counter, context = profile.counter, profile.context_tokens
        answer = asked_tokens(request.options) or self._settings.answer_tokens
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
        if asked_tokens(body) is None:
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
        if prepared.keep_as is not None and self._earlier is not None:
            answer = EarlierAnswer(prepared.found, event)
            self._earlier.keep(prepared.request.project_id, prepared.keep_as, answer)
        grounded = prepared.request.search is not None and prepared.earlier is None
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


def _wants_json(options: Mapping[str, Any]) -> bool:
    chosen = options.get("response_format")
    return isinstance(chosen, dict) and chosen.get("type") not in {None, "text"}


def _searched_for(request: AnswerRequest) -> str | None:
    """The output of the prompt's step `search_query`, where it has one."""
    steps = request.prompt.body.steps if request.prompt is not None else ()
    made = any(step.name == _SEARCH_QUERY for step in steps)
    return str(request.variables[_SEARCH_QUERY]) if made else None


def _last_text(messages: list[dict[str, Any]]) -> str | None:
    content = messages[-1].get("content") if messages else None
    return content if isinstance(content, str) else None if content is None else json.dumps(content)
