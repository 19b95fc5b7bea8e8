"""The token budget: which passages go into the prompt, and why the others do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from deployments.retriever.messages import RetrievedPassage
from ingestion.sentences import sentence_spans

__all__ = ["Counter", "LeftOut", "PackedPassage", "Packing", "pack", "passage_budget"]

PASSAGE_OVERHEAD = 8
"""Tokens around a passage: its number, line breaks, its source's name."""

Reason = Literal["budget", "limit", "duplicate"]


class Counter(Protocol):
    """What packing needs of a `TokenCounter`."""

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        ...

    def cut(self, text: str, tokens: int) -> int:
        """Offset at which `text` has at most `tokens` tokens."""
        ...


@dataclass(frozen=True, slots=True)
class PackedPassage:
    """A passage in the prompt. `text` is the passage's, or its beginning where it was cut."""

    number: int
    """As the prompt numbers it, from 1."""
    passage: RetrievedPassage
    text: str
    tokens: int

    @property
    def truncated(self) -> bool:
        """Whether only its beginning is in the prompt."""
        return len(self.text) < len(self.passage.text)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A passage that was found and is not in the prompt."""

    passage: RetrievedPassage
    reason: Reason
    tokens: int


@dataclass(frozen=True, slots=True)
class Packing:
    """The passages in the prompt, in rank order, and those left out."""

    used: tuple[PackedPassage, ...]
    left_out: tuple[LeftOut, ...]
    budget: int
    tokens: int


def passage_budget(
    context_tokens: int, prompt_tokens: int, answer_tokens: int, max_context_tokens: int
) -> int:
    """Tokens that passages may take: never more than the context minus prompt minus answer.

    Zero or below when the prompt alone leaves no room.
    """
    return min(max_context_tokens, context_tokens - prompt_tokens - answer_tokens)


def pack(
    passages: Sequence[RetrievedPassage], counter: Counter, budget: int, limit: int
) -> Packing:
    """Take whole passages in rank order while they fit into `budget` tokens, at most `limit`.

    A passage that does not fit is left out and the next one is tried. Only when none fits whole is
    the best one cut, at the end of a sentence where there is one.
    """
    used: list[PackedPassage] = []
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    spent = 0
    for passage in passages:
        cost = counter.count(passage.text) + PASSAGE_OVERHEAD
        reason: Reason | None = None
        if passage.text in seen:
            reason = "duplicate"
        elif len(used) >= limit:
            reason = "limit"
        elif spent + cost > budget:
            reason = "budget"
        if reason is not None:
            left_out.append(LeftOut(passage, reason, cost))
            continue
        seen.add(passage.text)
        spent += cost
        used.append(PackedPassage(len(used) + 1, passage, passage.text, cost))
    if not used and left_out and (first := _cut(left_out[0].passage, counter, budget)) is not None:
        used, left_out, spent = [first], left_out[1:], first.tokens
    return Packing(tuple(used), tuple(left_out), budget, spent)


def _cut(passage: RetrievedPassage, counter: Counter, budget: int) -> PackedPassage | None:
    limit = counter.cut(passage.text, budget - PASSAGE_OVERHEAD)
    ends = [end for _, end in sentence_spans(passage.text) if end <= limit]
    word_end = max(passage.text.rfind(" ", 0, limit + 1), 0) or limit
    end = ends[-1] if ends else word_end  # a sentence larger than the budget ends after a word
    text = passage.text[:end].rstrip()
    if not text:
        return None
    return PackedPassage(1, passage, text, counter.count(text) + PASSAGE_OVERHEAD)
