"""«I don't know»: whether the passages that were found support any answer at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from deployments.gateway.grounding.facts import facts_of
from deployments.gateway.grounding.terms import content_terms, stem, tokenize, words
from deployments.retriever.messages import RetrievedPassage

__all__ = ["SupportDecision", "SupportThresholds", "decide_support"]

_FLOOR: Final = 0.15
"""Cosine below which shared words are a coincidence."""
_NAMED_SIMILARITY: Final = 0.5
"""Cosine that is asked for when no passage holds a name that the question is about."""
_NAME_WEIGHT: Final = 2.0
_GENERIC: Final = frozenset(
    stem(word)
    for word in words(
        "document documents file files text page pages content contents topic summary "
        "summarise summarize overview describe explain list show main key point points"
    )
)


@dataclass(frozen=True, slots=True)
class SupportThresholds:
    """See `GroundingSettings` for what they mean."""

    min_similarity: float = 0.30
    min_term_coverage: float = 0.70


@dataclass(frozen=True, slots=True)
class SupportDecision:
    """Whether to ask the model, and what that rests on."""

    supported: bool
    reason: Literal[
        "no_passages", "similar", "terms", "generic_question", "off_topic", "unknown_name"
    ]
    similarity: float | None
    """Best cosine of question and passage; None where only BM25 searched."""
    term_coverage: float
    """Best share of the question's terms in one passage, names counting double."""
    missing_names: tuple[str, ...] = ()
    """Names of the question that stand in no passage."""


def decide_support(
    question: str, passages: Sequence[RetrievedPassage], thresholds: SupportThresholds
) -> SupportDecision:
    """Decide from cosines and shared terms, without a model.

    A passage that is similar enough supports an answer; below that, one that holds most of the
    question's terms does. Where the search had no cosines, half the coverage is asked for: a
    question has other words than a document. A question that names something no passage
    mentions needs a clearly similar passage. `tests/benchmarks/grounding_stages.py` prints the
    share of false refusals and of off-topic questions answered over the thresholds.
    """
    if not passages:
        return SupportDecision(False, "no_passages", None, 0.0)
    similarity = max((p.dense_score for p in passages if p.dense_score is not None), default=None)
    terms = set(content_terms(question)) - _GENERIC
    if not terms:
        return SupportDecision(True, "generic_question", similarity, 0.0)
    held = [_terms_of(passage) for passage in passages]
    facts = facts_of(question, tokenize(question))
    coverage = max(_coverage(terms, facts.names, one) for one in held)
    missing = tuple(sorted(facts.names - frozenset().union(*held)))
    enough = thresholds.min_term_coverage
    if similarity is None:
        by_terms = coverage >= enough / 2 and not missing
        return SupportDecision(
            by_terms, "terms" if by_terms else "off_topic", None, coverage, missing
        )
    if missing and similarity < _NAMED_SIMILARITY:
        return SupportDecision(False, "unknown_name", similarity, coverage, missing)
    if similarity >= thresholds.min_similarity:
        return SupportDecision(True, "similar", similarity, coverage, missing)
    if coverage >= enough and similarity >= min(_FLOOR, thresholds.min_similarity):
        return SupportDecision(True, "terms", similarity, coverage, missing)
    return SupportDecision(False, "off_topic", similarity, coverage, missing)


def _terms_of(passage: RetrievedPassage) -> frozenset[str]:
    """Its terms, with those of the titles above it and of its file's name."""
    around = " ".join((*passage.section, passage.filename.replace("_", " ")))
    return frozenset(t.term for t in tokenize(f"{passage.text} {around}"))


def _coverage(terms: set[str], names: frozenset[str], held: frozenset[str]) -> float:
    weights = {term: _NAME_WEIGHT if term in names else 1.0 for term in terms}
    return sum(w for term, w in weights.items() if term in held) / sum(weights.values())
