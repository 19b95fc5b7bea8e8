"""What the guards do for one request, written into its trace."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from deployments.errors import InvalidRequest
from deployments.guards.pipeline import Guards, Screened
from deployments.guards.stream import OutputScreen
from deployments.guards.verdict import GuardText, Source, Verdict
from deployments.retriever.messages import RetrievedPassage
from deployments.tracing.draft import TraceDraft

__all__ = ["RequestGuards"]

_TOLD: Final = frozenset({"system", "developer", "assistant"})
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

        Returns both as they may be kept and answered. Only where a guard may mask or block does
        this take time: the others look while passages are searched. `param` is what an error names.
        """
        said = _texts(messages)
        values = _variables(prompt)
        given = [GuardText(text, Source.SAID) for text in values.values()]
        texts = await self.read_texts([*said, *given], param=param)
        filled = dict(zip(values, texts[len(said) :], strict=True))
        if filled != values:
            prompt = {**prompt, "variables": {**prompt["variables"], **filled}}
        return _rewritten(messages, texts[: len(said)]), prompt

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

    def said(self, screen: OutputScreen) -> None:
        """Note what the guards decided of an answer."""
        for verdict in screen.verdicts:
            self._note(verdict)

    @property
    def acted(self) -> list[dict[str, Any]]:
        """What a client is told: where a guard did something, and why."""
        return [
            {name: noted[name] for name in ("guard", "place", "action", "categories")}
            for noted in self._trace.body.get("guards", ())
            if noted["action"] != _PASSED
        ]

    async def _screen(self, texts: Sequence[GuardText]) -> Screened:
        with self._trace.stage("input_guards"):
            screened = await self._guards.screen("input", texts)
        for verdict in screened.verdicts:
            self._note(verdict)
        return screened

    def _note(self, verdict: Verdict) -> None:
        self._trace.body.setdefault("guards", []).append(verdict.described())


def _texts(messages: Sequence[Mapping[str, Any]]) -> list[GuardText]:
    """The texts of messages, in order."""
    asked = next(
        (n for n in reversed(range(len(messages))) if messages[n]["role"] not in _TOLD), None
    )
    found = []
    for number, message in enumerate(messages):
        source = Source.ASKED if number == asked else Source.SAID
        if message["role"] in _TOLD:
            source = Source.TOLD
        content = message.get("content")
        if isinstance(content, str):
            found.append(GuardText(content, source))
        elif isinstance(content, list):
            found += [GuardText(part["text"], source) for part in content if _is_text(part)]
    return found


def _variables(prompt: Any) -> dict[str, str]:
    """The texts among a prompt's variables; what else is wrong with them is told elsewhere."""
    values = prompt.get("variables") if isinstance(prompt, dict) else None
    if not isinstance(values, dict):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, str)}


def _rewritten(messages: Sequence[dict[str, Any]], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The messages with `texts` in place of theirs, which stand in the same order."""
    left = iter(texts)

    def content_of(content: Any) -> Any:
        if isinstance(content, str):
            return next(left)
        if isinstance(content, list):
            return [{**p, "text": next(left)} if _is_text(p) else p for p in content]
        return content

    return [
        {**message, "content": content_of(message["content"])} if "content" in message else message
        for message in messages
    ]


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)
