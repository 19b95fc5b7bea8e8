"""One choice of an answer through the guards: what it says, and the arguments of its tool calls."""

from collections.abc import Mapping
from typing import Any, Final

from deployments.gateway.guarding import RequestGuards
from deployments.guards.arguments import ArgumentsScreen
from deployments.guards.stream import OutputScreen

__all__ = ["BLOCKED", "GuardedChoice", "delta_of"]

BLOCKED: Final = "content_filter"
"""The finish reason of a choice that a guard blocked."""


class GuardedChoice:
    """Takes a choice whole, or event by event. Each text has a screen of its own."""

    def __init__(
        self, index: int, guards: RequestGuards, schema: Mapping[str, Any] | bool | None
    ) -> None:
        screen = guards.output(schema)
        assert screen is not None  # noqa: S101 - else nothing is guarded
        self.index: Final = index
        self._guards: Final = guards
        self._said: Final = screen
        self._calls: Final[dict[int, ArgumentsScreen]] = {}
        self._unfinished: Final[set[OutputScreen]] = {screen}

    @property
    def blocked(self) -> bool:
        """Whether it ends here."""
        return any(screen.blocked for screen in self._screens)

    async def whole(self, choice: dict[str, Any]) -> bool:
        """Guard a choice that is all there, in place; return whether it changed.

        A blocked one keeps no tool call: none of them may be carried out.
        """
        message = choice.get("message", choice)
        name = "text" if message is choice else "content"
        changed = False
        if isinstance(text := message.get(name), str):
            message[name] = await self._said.whole(text)
            changed = message[name] != text
        for number, call in enumerate(message.get("tool_calls") or ()):
            function = call.get("function") or {}
            if isinstance(given := function.get("arguments"), str):
                function["arguments"] = await self._call(number).whole(given)
                changed = changed or function["arguments"] != given
        self._note()
        if changed:
            choice["logprobs"] = None
        if self.blocked:
            if message.pop("tool_calls", None):
                message["tool_calls"] = []
            choice["finish_reason"], changed = BLOCKED, True
        return changed

    async def event(self, choice: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """Guard a choice of an event, in place.

        Returns the deltas that must go out before it, and whether it changed. Where it is `blocked`
        afterwards, and does not say so as its finish reason, the event is not to be sent.
        """
        delta, name = delta_of(choice)
        before: list[dict[str, Any]] = []
        text = shown = delta.get(name)
        if isinstance(text, str) and text:
            shown = await self._feed(self._said, text)
        changed = await self._called(delta, before)
        if choice.get("finish_reason") is not None and not self.blocked:
            if rest := await self._finish(self._said):
                before.append({name: (shown or "") + rest})
                shown = "" if text else text
            ending = await self._rests()
            if ending:
                delta["tool_calls"] = [*(delta.get("tool_calls") or ()), *ending]
            self._note()
            changed = changed or bool(ending)
            if self.blocked:
                choice["finish_reason"], changed = BLOCKED, True
        if shown != text:
            delta[name], changed = shown, True
        if changed:
            choice["logprobs"] = None
        return before, changed

    async def rest(self, name: str) -> list[dict[str, Any]]:
        """End a choice that nobody said had ended: the deltas that it still owes."""
        deltas: list[dict[str, Any]] = []
        if said := await self._finish(self._said):
            deltas.append({name: said})
        if ending := await self._rests():
            deltas.append({"tool_calls": ending})
        self._note()
        return deltas

    def end(self) -> None:
        """Note what was decided so far: the answer ends in the middle."""
        self._note()

    async def _called(self, delta: dict[str, Any], before: list[dict[str, Any]]) -> bool:
        """Guard the tool calls of a delta, in place; return whether they changed.

        Where a call begins, what came before it is over, and goes out `before`.
        """
        calls = delta.get("tool_calls")
        if not calls:
            return False
        kept: list[dict[str, Any]] = []
        changed = False
        for call in calls:
            number = int(call.get("index", 0))
            if number not in self._calls:
                if said := await self._finish(self._said):
                    before.append({"content": said})
                if ending := await self._rests():
                    before.append({"tool_calls": ending})
            screen = self._call(number)
            function = call.get("function") or {}
            given = function.get("arguments")
            if isinstance(given, str) and given:
                shown = await self._feed(screen, given)
                if shown != given:
                    changed = True
                    call = {**call, "function": {**function, "arguments": shown}}
                    if not (shown or call.get("id") or function.get("name")):
                        continue
            kept.append(call)
        if changed:
            del delta["tool_calls"]
            if kept:
                delta["tool_calls"] = kept
        return changed

    async def _rests(self) -> list[dict[str, Any]]:
        """What is held back of the tool calls, which are over."""
        found = []
        for number, screen in self._calls.items():
            if rest := await self._finish(screen):
                found.append({"index": number, "function": {"arguments": rest}})
        return found

    async def _feed(self, screen: OutputScreen, text: str) -> str:
        self._unfinished.add(screen)
        return await screen.feed(text)

    async def _finish(self, screen: OutputScreen) -> str:
        if screen not in self._unfinished:
            return ""
        self._unfinished.discard(screen)
        return await screen.finish()

    def _call(self, number: int) -> ArgumentsScreen:
        if number not in self._calls:
            screen = self._guards.arguments()
            assert screen is not None  # noqa: S101 - there is one for what it says
            self._calls[number] = screen
        return self._calls[number]

    @property
    def _screens(self) -> tuple[OutputScreen, ...]:
        return (self._said, *self._calls.values())

    def _note(self) -> None:
        for screen in self._screens:
            self._guards.said(screen)


def delta_of(choice: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Where the text of a chat's or a completion's event stands, and under which name."""
    if "delta" in choice:
        return choice["delta"], "content"
    return choice, "text"
