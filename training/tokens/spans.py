"""Which characters of a rendered conversation the assistant wrote.

A chat template says where a turn begins only by rendering it. So prefixes of the conversation are
rendered: what the model is given before turn i (with the generation prompt), and the conversation
through turn i. Each must be a prefix of the text that is trained on, character by character; the
turn is what lies between. Nothing depends on `{% generation %}` markers in the template.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from training.errors import ExampleError

__all__ = ["Rendered", "Renderer", "Span", "render_turns"]


class Renderer(Protocol):
    """A chat template."""

    def __call__(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool,
    ) -> str:
        """Render a conversation; with `generation_prompt`, as the model is asked to go on."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of a text, and the weight of their loss."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text to train on."""

    text: str
    spans: tuple[Span, ...]


def render_turns(
    render: Renderer,
    messages: Sequence[Mapping[str, Any]],
    weights: Sequence[float],
    tools: Sequence[Mapping[str, Any]] = (),
) -> tuple[Rendered, ...]:
    """The conversation as one text; or as one text for each turn that carries loss.

    The latter where the template shows an earlier turn otherwise than it showed it when it was the
    last (it drops its reasoning, or moves the system prompt): then each turn is trained on in the
    text in which the model will write it. Raises ExampleError where even the last turn does not
    follow its own prompt.
    """
    turns = [i for i, weight in enumerate(weights) if weight]
    whole = render(messages, tools, generation_prompt=False)
    spans = []
    for turn in turns:
        span = _span(render, messages, turn, weights[turn], tools, whole)
        if span is None:
            break
        spans.append(span)
    else:
        return (Rendered(whole, tuple(spans)),)
    return tuple(_alone(render, messages, turn, weights[turn], tools) for turn in turns)


def _alone(
    render: Renderer,
    messages: Sequence[Mapping[str, Any]],
    turn: int,
    weight: float,
    tools: Sequence[Mapping[str, Any]],
) -> Rendered:
    text = render(messages[: turn + 1], tools, generation_prompt=False)
    span = _span(render, messages, turn, weight, tools, text)
    if span is None:
        raise ExampleError(
            f"Under this chat template message {turn + 1}, the assistant's, does not go on from "
            "the prompt that the model is given before it.",
            fix="Train with the chat template that the model is served with, or with one that "
            "renders a turn as its generation prompt announces it.",
        )
    return Rendered(text, (span,))


def _span(
    render: Renderer,
    messages: Sequence[Mapping[str, Any]],
    turn: int,
    weight: float,
    tools: Sequence[Mapping[str, Any]],
    text: str,
) -> Span | None:
    """Where turn `turn` lies in `text`; None when a prefix of the conversation is none of it."""
    last = turn + 1 == len(messages)
    before = render(messages[:turn], tools, generation_prompt=True)
    through = text if last else render(messages[: turn + 1], tools, generation_prompt=False)
    if not (text.startswith(through) and through.startswith(before)):
        return None
    return Span(len(before), len(through), weight)
