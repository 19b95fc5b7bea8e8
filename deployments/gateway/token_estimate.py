"""How many tokens a model call may take, before it is made."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from deployments.gateway.grounding.tokens import TokenCounter

__all__ = [
    "MOST_CHOICES",
    "TokenEstimate",
    "asked_tokens",
    "estimate_texts",
    "estimate_tokens",
    "told_tokens",
]

MOST_CHOICES: Final = 128
"""Answers to one prompt, as OpenAI's reference has it for `n`."""
_COUNTED: Final = 8_000
"""Characters up to which the model's tokenizer counts, in under a millisecond."""
_CHARACTERS_A_TOKEN: Final = 4
_MESSAGE_TOKENS: Final = 8


class TokenEstimate(NamedTuple):
    """Tokens of a call."""

    prompt: int
    answer: int


def asked_tokens(options: Mapping[str, Any]) -> int | None:
    """The limit of an answer that a body asks for."""
    for name in ("max_completion_tokens", "max_tokens"):
        if isinstance(value := options.get(name), int) and not isinstance(value, bool):
            return value
    return None


def estimate_tokens(
    body: Mapping[str, Any],
    counter: TokenCounter | None,
    default: int,
    context: int | None = None,
) -> TokenEstimate:
    """Estimate what the body of a chat or a completion takes.

    Long prompts count as a token for four characters; an answer as the limit that the body asks
    for, else `default`, for each of `n` and of the prompts. None is longer than the model's
    `context`: nobody has checked the body yet, and what waits is ordered by what is said here.
    """
    texts = list(_texts(body))
    characters = sum(len(text) for text in texts)
    if counter is not None and characters <= _COUNTED:
        prompt = sum(counter.count(text) for text in texts)
    else:
        prompt = characters // _CHARACTERS_A_TOKEN
    messages, numbers = body.get("messages"), body.get("prompt")
    if isinstance(messages, list):
        prompt += _MESSAGE_TOKENS * len(messages)
    if isinstance(numbers, list):
        prompt += sum(1 if isinstance(one, int) else _length(one) for one in numbers)
    each = max(1, asked_tokens(body) or default)
    if context is not None:
        each = min(each, context)
    return TokenEstimate(prompt, each * _choices(body) * _prompts(numbers))


def _choices(body: Mapping[str, Any]) -> int:
    asked = body.get("n")
    return max(1, min(asked, MOST_CHOICES)) if isinstance(asked, int) else 1


def _prompts(given: object) -> int:
    """How many prompts a completion has: a list of numbers is one."""
    if not isinstance(given, list):
        return 1
    return max(1, sum(not isinstance(one, int) for one in given))


def told_tokens(answer: Mapping[str, Any], prompt: int) -> TokenEstimate:
    """What the `usage` of an answer tells; a model that tells none took the `prompt`."""
    usage = answer.get("usage")
    told = usage if isinstance(usage, Mapping) else {}
    found = [told.get("prompt_tokens"), told.get("completion_tokens")]
    prompted, said = (one if isinstance(one, int) and one >= 0 else None for one in found)
    return TokenEstimate(prompt if prompted is None else prompted, said or 0)


def estimate_texts(texts: Sequence[str]) -> int:
    """Estimate what texts to embed take: a token for four characters, and one at least."""
    return sum(max(1, len(text) // _CHARACTERS_A_TOKEN) for text in texts)


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    prompt = body.get("prompt")
    for text in prompt if isinstance(prompt, list) else [prompt]:
        if isinstance(text, str):
            yield text
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else [content]:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                yield text


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 0
