"""The fixed prompts of the parity check: short, and of many kinds of token."""

from typing import Final

from training.examples import ChatExample, Message

__all__ = ["FIXED"]


def _example(*turns: tuple[str, str]) -> ChatExample:
    messages: tuple[Message, ...] = tuple({"role": role, "content": text} for role, text in turns)
    return ChatExample(messages, (0.0,) * (len(turns) - 1) + (1.0,))


FIXED: Final = (
    _example(("user", "What is the capital of France?"), ("assistant", "Paris.")),
    _example(
        ("system", "You answer in one short sentence."),
        ("user", "Why is the sky blue?"),
        ("assistant", "Air scatters short waves of light more than long ones."),
    ),
    _example(
        ("user", "Count from 7 to 12."),
        ("assistant", "7, 8, 9, 10, 11, 12."),
        ("user", "And backwards, as JSON?"),
        ("assistant", '{"numbers": [12, 11, 10, 9, 8, 7]}'),
    ),
    _example(
        ("user", "Translate «Grüße aus Köln» — and keep the emoji 🙂."),
        ("assistant", "Greetings from Cologne 🙂"),
    ),
)
