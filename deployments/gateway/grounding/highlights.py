"""The sentences of the passages that are nearest to the question, for prompts of small models.

A model of a few hundred million parameters loses the question over several passages; it copies a
sentence well that stands close to it.
"""

from collections.abc import Sequence

from deployments.gateway.grounding.terms import content_terms, weigh
from deployments.gateway.grounding.windows import Source, SourcePassage, Window

__all__ = ["highlights"]

_SHORTEST = 3
"""Content terms below which a sentence is a title."""


def highlights(question: str, texts: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` sentences that share weighted terms with `question`, best first.

    Questions and titles are passed over: they repeat the question and do not answer it.
    """
    source = Source([SourcePassage(index, text) for index, text in enumerate(texts)])
    weights = weigh(content_terms(question), source.document_frequency, source.size)

    def shared(window: Window) -> float:
        held = window.facts.terms | window.inherited
        return sum(weight for term, weight in weights.items() if term in held)

    ranked = [
        (-shared(window), window.passage, window.start, window.text)
        for windows in source.windows
        for window in windows
        if len(window.terms) >= _SHORTEST and not window.text.endswith("?") and shared(window)
    ]
    return [" ".join(text.split()) for *_, text in sorted(ranked)[:limit]]
