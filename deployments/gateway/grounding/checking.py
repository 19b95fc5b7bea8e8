"""The fact check of an answer on its way: what the policy does not let stand is not passed on."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from cluster.settings import FactCheckSettings
from deployments.gateway.grounding.answer_request import AnswerRequest, ChatProfile, PreparedAnswer
from deployments.gateway.grounding.answering import Answering
from deployments.gateway.grounding.events import AnswerEvent, Finished
from deployments.gateway.grounding.fact_judge import FactJudge
from deployments.gateway.grounding.fact_policy import ASKED_ANEW, FactPolicy, without_dropped
from deployments.gateway.grounding.packing import Packing
from deployments.gateway.token_estimate import asked_tokens
from deployments.tracing.draft import TraceDraft

__all__ = ["FactCheck"]

_NOTHING_LEFT: Final = "I don't know. The documents do not say."
"""Where every sentence was dropped and the prompt has no refusal of its own."""


class FactCheck:
    """Asks the model, once more where the policy says so, and drops what does not hold."""

    def __init__(self, settings: FactCheckSettings, profiles: Mapping[str, ChatProfile]) -> None:
        self._policy: Final = FactPolicy(settings.contradicted, settings.unverifiable)
        self._settings: Final = settings
        self._profiles: Final = profiles

    def judge(self, packing: Packing, request: AnswerRequest) -> FactJudge | None:
        """Who is asked about the doubtful sentences of one answer; None: nobody."""
        if self._settings.judge is None:
            return None
        return FactJudge(
            self._profiles[self._settings.judge].model,
            self._settings.judge,
            [used.text for used in packing.used],
            request.request_id,
            timeout_s=min(self._settings.judge_timeout_s, request.left_s),
            most=self._settings.max_judged,
        )

    def events(
        self, prepared: PreparedAnswer, trace: TraceDraft, refusal: str | None
    ) -> AsyncGenerator[AnswerEvent, None]:
        """The answer, without what the policy does not let stand; `refusal` where nothing is left.

        Raises RequestError as `Answering` does, also for the second answer.
        """
        policy = self._policy
        if prepared.attributor is None or prepared.is_json or policy.flags_only:
            return Answering(prepared, trace).events()
        asked = self._asked_twice if policy.asks_anew else _asked_once
        return without_dropped(asked(prepared, trace), policy, refusal or _NOTHING_LEFT)

    async def _asked_twice(
        self, prepared: PreparedAnswer, trace: TraceDraft
    ) -> AsyncGenerator[AnswerEvent, None]:
        """The first answer where the policy lets it stand, else a second one."""
        with trace.stage("first_answer"):
            async with aclosing(Answering(prepared, trace).events()) as events:
                held = [event async for event in events]
        first = next(event for event in held if isinstance(event, Finished))
        again = None
        if self._policy.rejects(first.sentences):
            again = self._again(prepared, first)
        if again is None:
            for event in held:
                yield event
            return
        trace.body["thrown_away"] = first.text
        async with aclosing(Answering(again, trace).events()) as second:
            async for event in second:
                if isinstance(event, Finished):
                    event = replace(event, usage=first.usage + event.usage, regenerated=True)
                yield event

    def _again(self, prepared: PreparedAnswer, first: Finished) -> PreparedAnswer | None:
        """The same question with what did not hold; None where there is no room or time for it."""
        wrong = [
            first.text[sentence.start : sentence.end]
            for sentence in first.sentences
            if not self._policy.keeps(sentence)
        ]
        *before, last = prepared.body["messages"]
        note = ASKED_ANEW + " ".join(f"«{text}»" for text in wrong)
        messages = [*before, {**last, "content": f"{last['content']}\n\n{note}"}]
        profile, request = prepared.profile, prepared.request
        tokens = profile.counter.count_messages(messages) + (asked_tokens(prepared.body) or 0)
        if tokens > profile.context_tokens or not request.left_s:
            return None
        return replace(
            prepared,
            request=replace(request, request_id=f"{request.request_id}-again"),
            body={**prepared.body, "messages": messages},
        )


def _asked_once(prepared: PreparedAnswer, trace: TraceDraft) -> AsyncGenerator[AnswerEvent, None]:
    return Answering(prepared, trace).events()
