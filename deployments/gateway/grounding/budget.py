"""What of a conversation fits beside passages and answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.gateway.grounding.packing import PASSAGE_OVERHEAD
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.model.failures import context_overflow

__all__ = ["asked_tokens", "check_budget", "fit_texts", "fit_turns"]


def fit_turns(
    turns: Sequence[dict[str, str]], counter: TokenCounter, budget: int
) -> tuple[list[dict[str, str]], int]:
    """Keep the latest turns that fit into `budget` tokens, from a user's turn on.

    Returns them and the tokens they take.
    """
    kept: list[dict[str, str]] = []
    spent = 0
    for turn in reversed(turns):
        cost = counter.count_message(turn["content"])
        if spent + cost > budget:
            break
        kept.insert(0, turn)
        spent += cost
    while kept and kept[0]["role"] != "user":
        spent -= counter.count_message(kept.pop(0)["content"])
    return kept, spent


def fit_texts(texts: Sequence[str], counter: TokenCounter, budget: int) -> list[str]:
    """Keep those texts, in their order, that fit into `budget` tokens together."""
    kept: list[str] = []
    for text in texts:
        cost = counter.count(text) + 1  # its line break
        if cost <= budget:
            kept.append(text)
            budget -= cost
    return kept


def check_budget(budget: int, prompt_tokens: int, answer_tokens: int, context: int) -> None:
    """Raise InvalidRequest, with tokens sent and allowed, where no passage can fit."""
    if budget <= PASSAGE_OVERHEAD:
        raise context_overflow(prompt_tokens, answer_tokens, context, "messages")


def asked_tokens(options: Mapping[str, Any]) -> int | None:
    """Length of the answer that a chat's `options` ask for; None where they do not say."""
    for name in ("max_completion_tokens", "max_tokens"):
        if isinstance(value := options.get(name), int):
            return value
    return None
