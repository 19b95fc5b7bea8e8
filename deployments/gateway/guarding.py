"""What the guards do for one request, written into its trace."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from deployments.errors import InvalidRequest
from deployments.gateway.message_texts import message_texts, rewritten, tool_results, with_results
from deployments.guards.arguments import ArgumentsScreen
from deployments.guards.pipeline import Guards, Screened
from deployments.guards.stream import OutputScreen
from deployments.guards.verdict import GuardText, Source, Verdict
from deployments.retriever.messages import RetrievedPassage
from deployments.tracing.draft import TraceDraft

__all__ = ["RequestGuards"]

_PASSED: Final = "pass"


class RequestGuards:
    """The guards of one request.

    `read` what a client sent first; await `passed` before a model is asked. Give `passages` what
    was found, and `output` what a model says.
    """

    def __init__(self, guards: Guards, trace: TraceDraft) -> None:
        self._guards: Final = guards
        self._trace: Final = trace
        self._input: list[GuardText] = []
        self._param = "input"
        self._screened: Screened | None = None

    async def read(
        self, messages: Sequence[dict[str, Any]], prompt: Any = None, *, param: str = "messages"
    ) -> tuple[list[dict[str, Any]], Any]:
        """Take note of what is asked: messages, and the variables of a client's `prompt`.

        Returns both as they may be kept and answered. What tools answered goes through the guards
        of passages first. Else only a guard that may mask or block takes time here: the others look
        while passages are searched. `param` is what an error names.
        """
        messages = await self._results(messages)
        said = message_texts(messages)
        values = _variables(prompt)
        given = [GuardText(text, Source.SAID) for text in values.values()]
        texts = await self.read_texts([*said, *given], param=param)
        filled = dict(zip(values, texts[len(said) :], strict=True))
        if filled != values:
            prompt = {**prompt, "variables": {**prompt["variables"], **filled}}
        return rewritten(messages, texts[: len(said)]), prompt

    async def read_texts(self, texts: Sequence[GuardText], *, param: str) -> list[str]:
        """The same for texts."""
        self._input, self._param = list(texts), param
        if not self._guards.rewrites("input"):
            return [given.text for given in texts]
        self._screened = await self._screen(texts)
        return list(self._screened.texts)

    async def passed(self) -> None:
        """Raise InvalidRequest where a guard blocks what is asked."""
        if not self._input:
            return
        if self._screened is None:
            self._screened = await self._screen(self._input)
        if blocked := self._screened.blocked:
            raise InvalidRequest(
                f"The request was blocked by the guards, which found: {', '.join(blocked)}.",
                param=self._param,
                code="content_policy_violation",
            )

    async def passages(self, passages: Sequence[RetrievedPassage]) -> tuple[RetrievedPassage, ...]:
        """The passages that may be shown to a model, without what is masked in them."""
        texts = [GuardText(passage.text) for passage in passages]
        screened = await self._guards.screen("passages", texts)
        for verdict in screened.verdicts:
            acted = [passages[number].id for number in verdict.texts]
            self._note(replace(verdict, more={**verdict.more, "passages": acted}))
        return tuple(
            passage if text == passage.text else replace(passage, text=text)
            for number, (passage, text) in enumerate(zip(passages, screened.texts, strict=True))
            if number not in screened.dropped
        )

    def output(self, schema: Mapping[str, Any] | bool | None = None) -> OutputScreen | None:
        """What an answer goes through, where it must be JSON of `schema`; None: it goes as it is.

        Hand it to `said` once the answer is over.
        """
        guards = self._guards.demanding(schema)
        return OutputScreen(guards) if guards.at("output") else None

    def arguments(self) -> ArgumentsScreen | None:
        """What the arguments of one tool call go through; as `output`."""
        return ArgumentsScreen(self._guards) if self._guards.at("output") else None

    def said(self, screen: OutputScreen) -> None:
        """Note what the guards decided of an answer, or of the arguments of a tool call."""
        called = {"part": "arguments"} if isinstance(screen, ArgumentsScreen) else {}
        for verdict in screen.verdicts:
            self._note(replace(verdict, more={**verdict.more, **called}))

    @property
    def acted(self) -> list[dict[str, Any]]:
        """What a client is told: where a guard did something, and why."""
        return [
            {name: noted[name] for name in ("guard", "place", "action", "categories")}
            for noted in self._trace.body.get("guards", ())
            if noted["action"] != _PASSED
        ]

    async def _results(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages with what tools answered as a model may read it."""
        numbers, found = tool_results(messages)
        if not found or not self._guards.at("passages"):
            return list(messages)
        with self._trace.stage("tool_result_guards"):
            screened = await self._guards.screen("passages", [GuardText(text) for text in found])
        for verdict in screened.verdicts:
            acted = sorted({numbers[text] for text in verdict.texts})
            self._note(replace(verdict, more={**verdict.more, "messages": acted}))
        return with_results(messages, screened.texts, screened.dropped)

    async def _screen(self, texts: Sequence[GuardText]) -> Screened:
        with self._trace.stage("input_guards"):
            screened = await self._guards.screen("input", texts)
        for verdict in screened.verdicts:
            self._note(verdict)
        return screened

    def _note(self, verdict: Verdict) -> None:
        self._trace.body.setdefault("guards", []).append(verdict.described())


def _variables(prompt: Any) -> dict[str, str]:
    """The texts among a prompt's variables; what else is wrong with them is told elsewhere."""
    values = prompt.get("variables") if isinstance(prompt, dict) else None
    if not isinstance(values, dict):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, str)}
