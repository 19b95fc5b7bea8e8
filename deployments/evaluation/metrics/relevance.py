"""How near an answer and its passages are to the question, by the embedding model.

The Evaluator scores live traces by the same functions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from deployments.evaluation.cases import Passage, Score
from deployments.evaluation.metrics.evidence import (
    NO_QUESTION,
    inapplicable,
    passages_of,
    question_of,
    sources,
)
from deployments.evaluation.metrics.metric import MetricInput
from deployments.evaluation.metrics.refusals import refusal_of
from deployments.evaluation.metrics.verdicts import check_sentences
from deployments.evaluation.toolbox import TextVectors, Toolbox

__all__ = [
    "RELEVANT_FROM",
    "answer_relevance",
    "context_relevance",
    "relevance",
    "relevant_share",
    "retrieval_precision",
]

RELEVANT_FROM: Final = 0.35
"""Cosine of question and passage, under MiniLM, from which a passage counts as on the subject."""
_AT_ONCE: Final = 256
"""Texts that the embedder is sent in one call."""


def relevance(question: Sequence[float], text: Sequence[float]) -> float:
    """Cosine of two unit-length vectors, not below 0."""
    return max(0.0, sum(a * b for a, b in zip(question, text, strict=True)))


def relevant_share(
    similarities: Sequence[float], cited: Sequence[bool], relevant_from: float = RELEVANT_FROM
) -> float | None:
    """Share of passages that are cited or similar enough; None without passages."""
    if not similarities:
        return None
    relevant = [
        was_cited or similarity >= relevant_from
        for similarity, was_cited in zip(similarities, cited, strict=True)
    ]
    return sum(relevant) / len(relevant)


async def answer_relevance(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    """Cosine of question and answer, not below 0. A refusal answers nothing: not applicable."""
    asked = [question_of(given, options) for given in inputs]
    refused = [refusal_of(given.case, given.prediction) is not None for given in inputs]
    pairs = [
        (question, given.prediction)
        for question, is_refused, given in zip(asked, refused, inputs, strict=True)
        if question is not None and not is_refused
    ]
    vectors = await _vectors(tools.embedder, [text for pair in pairs for text in pair])
    scores = []
    for given, question, is_refused in zip(inputs, asked, refused, strict=True):
        if question is None:
            scores.append(inapplicable(NO_QUESTION))
        elif is_refused:
            scores.append(inapplicable("the answer is a refusal"))
        else:
            scores.append(Score(_nearness(vectors, question, given.prediction)))
    return scores


async def context_relevance(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    """Mean over the passages of their cosine to the question, not below 0."""
    scores = []
    for _, _, cosines, reason in await _retrieved(inputs, options, tools):
        if reason:
            scores.append(inapplicable(reason))
            continue
        detail = {"similarities": [round(cosine, 4) for cosine in cosines]}
        scores.append(Score(sum(cosines) / len(cosines), detail=detail))
    return scores


async def retrieval_precision(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    """Share of the passages that support a sentence of the answer or are near the question."""
    relevant_from = float(options.get("relevant_from", RELEVANT_FROM))
    scores = []
    for given, passages, cosines, reason in await _retrieved(inputs, options, tools):
        if reason:
            scores.append(inapplicable(reason))
            continue
        sentences = await check_sentences(given.prediction, sources(passages), tools.embedder)
        used = {support.passage for sentence in sentences for support in sentence.supports}
        share = relevant_share(cosines, [n in used for n in range(len(passages))], relevant_from)
        detail = {"passages": len(passages), "cited": sorted(used)}
        scores.append(Score(share, detail=detail))
    return scores


class _Retrieved(NamedTuple):
    given: MetricInput
    passages: tuple[Passage, ...]
    cosines: list[float]
    """Of the question and each passage, not below 0."""
    reason: str
    """Why there are none; often empty."""


async def _retrieved(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[_Retrieved]:
    asked = [(question_of(given, options), passages_of(given, options)) for given in inputs]
    texts = [
        text
        for question, passages in asked
        if question is not None and passages
        for text in (question, *(passage.text for passage in passages))
    ]
    vectors = await _vectors(tools.embedder, texts)
    found = []
    for given, (question, passages) in zip(inputs, asked, strict=True):
        if question is None or not passages:
            reason = NO_QUESTION if question is None else "there are no passages"
            found.append(_Retrieved(given, (), [], reason))
        else:
            cosines = [_nearness(vectors, question, passage.text) for passage in passages]
            found.append(_Retrieved(given, passages, cosines, ""))
    return found


def _nearness(vectors: Mapping[str, Sequence[float]], question: str, text: str) -> float:
    """Nothing is near to an empty text."""
    return relevance(vectors[question], vectors[text]) if text.strip() else 0.0


async def _vectors(embedder: TextVectors, texts: Sequence[str]) -> dict[str, list[float]]:
    wanted = [text for text in dict.fromkeys(texts) if text.strip()]
    found: dict[str, list[float]] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        found.update(zip(part, await embedder.vectors(part), strict=True))
    return found
