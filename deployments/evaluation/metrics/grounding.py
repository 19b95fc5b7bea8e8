"""Metrics of grounding: what an answer claims against what its passages say."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from deployments.evaluation.cases import Passage, Score
from deployments.evaluation.metrics.claims import MOST_CHARACTERS, MOST_CLAIMS
from deployments.evaluation.metrics.evidence import inapplicable, passages_of, sources, texts_of
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.metrics.refusals import idk_correctness, idk_figures, refusal_of
from deployments.evaluation.metrics.relevance import (
    answer_relevance,
    context_relevance,
    retrieval_precision,
)
from deployments.evaluation.metrics.verdicts import (
    CheckedClaim,
    ClaimChecker,
    check_sentences,
    share,
)
from deployments.evaluation.toolbox import Toolbox

__all__ = ["GROUNDING_METRICS"]

_REFUSED: Final = "the answer is a refusal, which claims nothing"
_NO_CLAIM: Final = "the answer has no claim that could be checked"


async def _faithfulness(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    scores = []
    for given in inputs:
        if refusal_of(given.case, given.prediction) is not None:
            scores.append(inapplicable(_REFUSED))
            continue
        passages = passages_of(given, options)
        checked = await ClaimChecker(passages, tools.embedder).check_answer(given.prediction)
        scores.append(_share_supported(given.prediction, checked, passages))
    return scores


async def _context_recall(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    scores = []
    for given in inputs:
        passages = passages_of(given, options)
        found = []
        for text in texts_of(given, ("answer", "expected")):
            checked = await ClaimChecker(passages, tools.embedder).check_answer(text)
            found.append(_share_supported(text, checked, passages))
        if not found:
            scores.append(inapplicable("the item has no reference answer"))
        else:  # any of several right answers will do
            scores.append(max(found, key=lambda s: -1.0 if s.value is None else s.value))
    return scores


async def _groundedness(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    scores = []
    for given in inputs:
        if refusal_of(given.case, given.prediction) is not None:
            scores.append(inapplicable(_REFUSED))
            continue
        passages = sources(passages_of(given, options))
        sentences = await check_sentences(given.prediction, passages, tools.embedder)
        checkable = [sentence for sentence in sentences if sentence.checkable]
        value = share([sentence.supported for sentence in checkable])
        unsupported = [[s.start, s.end, s.reason] for s in checkable if not s.supported]
        detail: dict[str, Any] = {"sentences": len(checkable), "unsupported": unsupported}
        if value is None:
            detail["reason"] = _NO_CLAIM
        scores.append(Score(value, detail=detail))
    return scores


async def _citation_precision(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    scores = []
    for given in inputs:
        passages = passages_of(given, options)
        citing = await _Citing.read(given, passages, tools)
        if not citing.cited:
            scores.append(inapplicable("the answer cites no passage"))
            continue
        right = await citing.supporting()
        detail = {
            "cited": [number + 1 for number in sorted(citing.cited)],
            "supporting": [number + 1 for number in sorted(right)],
            "by": citing.by,
        }
        scores.append(Score(len(right) / len(citing.cited), detail=detail))
    return scores


async def _citation_recall(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    scores = []
    for given in inputs:
        if refusal_of(given.case, given.prediction) is not None:
            scores.append(inapplicable(_REFUSED))
            continue
        passages = passages_of(given, options)
        citing = await _Citing.read(given, passages, tools)
        checkable = [one for one in citing.checked if one.verdict != "not_checkable"]
        if not checkable:
            scores.append(inapplicable(_NO_CLAIM))
            continue
        held = [await citing.held(one) for one in checkable]
        without = [
            [one.claim.start, one.claim.end]
            for one, is_held in zip(checkable, held, strict=True)
            if not is_held
        ]
        detail = {"claims": len(checkable), "without": without, "by": citing.by}
        scores.append(Score(share(held), detail=detail))
    return scores


class _Citing:
    """The claims of an answer and which passages each cites.

    Where the answer has markers such as `[2]`, a claim cites those of its sentence. Otherwise the
    passages marked as cited stand for the whole answer: the platform's citations were made from
    claims, and say no more than that.
    """

    def __init__(
        self, checker: ClaimChecker, checked: Sequence[CheckedClaim], passages: Sequence[Passage]
    ) -> None:
        self._checker = checker
        self.checked = checked
        self._there = len(passages)
        marked = {number - 1 for one in checked for number in one.claim.cites}
        flagged = {index for index, passage in enumerate(passages) if passage.cited}
        self.by = "markers" if marked else "passages"
        self.cited = marked or flagged
        """Cited passages, from 0; a marker may name one that is not there."""

    @classmethod
    async def read(
        cls, given: MetricInput, passages: Sequence[Passage], tools: Toolbox
    ) -> "_Citing":
        checker = ClaimChecker(passages, tools.embedder)
        return cls(checker, await checker.check_answer(given.prediction), passages)

    def _cites(self, one: CheckedClaim) -> list[int]:
        marked = {number - 1 for number in one.claim.cites}
        cited = marked if self.by == "markers" else self.cited
        return [number for number in sorted(cited) if 0 <= number < self._there]

    async def held(self, one: CheckedClaim) -> bool:
        """Whether a passage that the claim cites supports it."""
        for number in self._cites(one):
            if await self._checker.supports(number, one):
                return True
        return False

    async def supporting(self) -> set[int]:
        """Cited passages that support a claim that they are cited for."""
        right: set[int] = set()
        for one in self.checked:
            for number in self._cites(one):
                if number not in right and await self._checker.supports(number, one):
                    right.add(number)
        return right


def _share_supported(
    text: str, checked: Sequence[CheckedClaim], passages: Sequence[Passage]
) -> Score:
    checkable = [one for one in checked if one.verdict != "not_checkable"]
    supported = [one.verdict == "supported" for one in checkable]
    detail: dict[str, Any] = {
        "claims": [one.described(passages) for one in checked],
        "checkable": len(checkable),
        "supported": sum(supported),
    }
    if len(text) > MOST_CHARACTERS or len(checked) == MOST_CLAIMS:
        detail["truncated"] = True
    if not checkable:
        return Score(None, detail={"reason": _NO_CLAIM, **detail})
    if not passages:
        detail["reason"] = "there are no passages, so nothing supports the answer"
    return Score(share(supported), detail=detail)


_PASSAGES: Final = {"passages": str}
_QUESTION: Final = {"question": str}

GROUNDING_METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "faithfulness",
        "Share of the answer's claims that its passages support, claim by claim, by the platform's "
        "own attribution (faithfulness as Ragas defines it, without a judge).",
        _faithfulness,
        options=_PASSAGES,
    ),
    Metric(
        "groundedness",
        "Share of the answer's checkable sentences that a passage supports, as live answers are "
        "scored.",
        _groundedness,
        options=_PASSAGES,
    ),
    Metric(
        "citation_precision",
        "Share of the cited passages that support a claim they are cited for (after Gao et al., "
        "ALCE, 2023).",
        _citation_precision,
        options=_PASSAGES,
    ),
    Metric(
        "citation_recall",
        "Share of the checkable claims that a passage cited for them supports (after Gao et al., "
        "ALCE, 2023).",
        _citation_recall,
        options=_PASSAGES,
    ),
    Metric(
        "answer_relevance",
        "Cosine of question and answer under the embedding model, not below 0.",
        answer_relevance,
        options=_QUESTION,
    ),
    Metric(
        "context_relevance",
        "Mean cosine of the question and each passage under the embedding model, none below 0.",
        context_relevance,
        options=_QUESTION | _PASSAGES,
    ),
    Metric(
        "retrieval_precision",
        "Share of the passages that support a sentence of the answer, or whose cosine to the "
        "question is at least `relevant_from`, as live answers are scored.",
        retrieval_precision,
        options=_QUESTION | _PASSAGES | {"relevant_from": Annotated[float, Field(ge=-1, le=1)]},
    ),
    Metric(
        "context_recall",
        "Share of the reference answer's claims that the passages support (context recall as Ragas "
        "defines it, without a judge); of several references the best.",
        _context_recall,
        reference="texts",
        options=_PASSAGES,
    ),
    Metric(
        "idk_correctness",
        "1 where the answer refuses exactly if the question cannot be answered: the reference says "
        "true or false, or gives the right answer, empty or null where there is none.",
        idk_correctness,
        binary=True,
        reference="text",
        summarise=idk_figures,
    ),
)
"""In the order in which reports show them."""
