"""Claims held against passages by the attribution that makes the platform's own citations."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from deployments.errors import RequestError, Unavailable
from deployments.evaluation.cases import Passage
from deployments.evaluation.metrics.claims import MOST_CHARACTERS, Claim, claims_of
from deployments.evaluation.metrics.evidence import sources
from deployments.evaluation.metrics.refusals import says_unknown
from deployments.evaluation.toolbox import TextVectors
from deployments.gateway.grounding.attribution import Attributor, SentenceSupport, Support
from deployments.gateway.grounding.similarity import SimilarityBudget
from deployments.gateway.grounding.windows import SourcePassage
from deployments.ports import EmbeddedTexts
from ingestion.sentences import sentence_spans

__all__ = ["CheckedClaim", "ClaimChecker", "Verdict", "check_sentences", "share"]

Verdict = Literal["supported", "unsupported", "not_checkable"]

_TEXTS: Final = 4_096
"""Sentences and words that the embedder sees for one answer; a live answer gets 192."""
_TIMEOUT_S: Final = 900.0
"""Of one call; who gives the vectors has a patience of its own that ends before."""
_SAYS_ONLY_YES: Final = re.compile(
    r"\W*(?:yes|no|true|false|correct|ja|nein|oui|non|sí|si|sì|sim|não|nee|да|нет|是|不是|はい|いいえ)\W*",
    re.IGNORECASE,
)
_SHOWN: Final = 300
"""Characters of a claim and of a quote in a score's detail."""


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """A claim, and the places of passages that support it, best first."""

    claim: Claim
    verdict: Verdict
    supports: tuple[Support, ...] = ()
    reason: str = ""
    """Why it is not supported, or cannot be."""
    contradicted_by: Support | None = None
    """Where a passage says otherwise than an unsupported claim."""

    def described(self, passages: Sequence[Passage]) -> Mapping[str, Any]:
        """As JSON for a score's detail."""
        said: dict[str, Any] = {
            "text": self.claim.text[:_SHOWN],
            "start": self.claim.start,
            "end": self.claim.end,
            "verdict": self.verdict,
        }
        if self.reason:
            said["reason"] = self.reason
        if self.supports:
            said["passages"] = [_place(support, passages) for support in self.supports]
        if self.contradicted_by is not None:
            said["contradicted_by"] = _place(self.contradicted_by, passages)
        return said


def _place(support: Support, passages: Sequence[Passage]) -> dict[str, Any]:
    passage = passages[support.passage]
    return {
        "number": support.passage + 1,
        "document": passage.document,
        "method": support.method,
        "score": support.score,
        "quote": passage.text[support.start : support.end][:_SHOWN],
    }


class ClaimChecker:
    """Checks the claims of one answer. Without `vectors` words of the same meaning are not seen.

    Where live attribution goes on without an embedder that is down, this raises what it raised: a
    score must not depend on how busy the embedder was.
    """

    def __init__(self, passages: Sequence[Passage], vectors: TextVectors | None = None) -> None:
        self._sources: Final = sources(passages)
        self._embedder: Final = None if vectors is None else _Certain(vectors)
        self._attributors: Final[dict[int | None, Attributor]] = {}
        """By passage that stands alone; None: all together."""
        self._found: Final[dict[tuple[int | None, str], SentenceSupport]] = {}

    async def check_answer(self, answer: str) -> list[CheckedClaim]:
        """Check every claim of `answer`, in order."""
        return [await self.check(claim) for claim in claims_of(answer)]

    async def check(self, claim: Claim) -> CheckedClaim:
        """Check one claim. Raises RequestError where the embedder fails."""
        await asyncio.sleep(0)  # a long answer must not hold up the actor's other callers
        if claim.sentence.rstrip("\"'”’»)").endswith(("?", "？", "؟")):
            return CheckedClaim(claim, "not_checkable", reason="a question claims nothing")
        if says_unknown(claim.text):
            return CheckedClaim(claim, "not_checkable", reason="says what is not known")
        if _SAYS_ONLY_YES.fullmatch(claim.text):
            return CheckedClaim(claim, "not_checkable", reason="yes or no alone claims nothing")
        found = await self._attribute(claim.text)
        if not found.checkable:
            return CheckedClaim(claim, "not_checkable", reason=found.reason)
        supports = found.supports
        if not supports and claim.text != claim.sentence:
            whole = (await self._attribute(claim.sentence)).supports
            supports = tuple(support for support in whole if support.method == "verbatim")
        if supports:
            return CheckedClaim(claim, "supported", supports)
        return CheckedClaim(claim, "unsupported", (), found.reason, found.contradicted_by)

    async def supports(self, passage: int, checked: CheckedClaim) -> bool:
        """Whether the passage at `passage` supports the claim, were it the only one."""
        if any(support.passage == passage for support in checked.supports):
            return True
        if checked.verdict == "not_checkable":
            return False
        return (await self._attribute(checked.claim.text, passage)).supported

    async def _attribute(self, text: str, passage: int | None = None) -> SentenceSupport:
        """Attribute `text` to all passages or to one; models that loop say the same many times."""
        if (passage, text) not in self._found:
            if passage not in self._attributors:
                held = self._sources if passage is None else [self._sources[passage]]
                self._attributors[passage] = Attributor(
                    held, self._embedder, budget=SimilarityBudget(_TEXTS, _TIMEOUT_S)
                )
            found = await self._attributors[passage].attribute(text)
            if self._embedder is not None:
                self._embedder.check()
            self._found[passage, text] = found
        return self._found[passage, text]


def share(held: Sequence[bool]) -> float | None:
    """Share of what is held, one flag per checkable claim or sentence; None where there is none."""
    return sum(held) / len(held) if held else None


async def check_sentences(
    answer: str, passages: Sequence[SourcePassage], vectors: TextVectors | None
) -> list[SentenceSupport]:
    """Attribute each sentence of `answer`, as it was while the answer was sent.

    Raises RequestError where the embedder fails.
    """
    embedder = None if vectors is None else _Certain(vectors)
    attributor = Attributor(passages, embedder, budget=SimilarityBudget(_TEXTS, _TIMEOUT_S))
    found = []
    for start, end in sentence_spans(answer[:MOST_CHARACTERS]):
        await asyncio.sleep(0)
        found.append(await attributor.attribute(answer[start:end], start))
        if embedder is not None:
            embedder.check()
    return found


class _Certain:
    """TextVectors as the TextEmbedder of attribution; remembers vectors, and that one failed."""

    def __init__(self, vectors: TextVectors) -> None:
        self._vectors: Final = vectors
        self._known: Final[dict[str, list[float]]] = {}
        self._failure: RequestError | None = None

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        del priority
        wanted = [text for text in dict.fromkeys(texts) if text not in self._known]
        if wanted:
            self._failure = Unavailable(f"The embedder gave no answer in {_TIMEOUT_S:.0f} s.")
            try:
                self._known.update(zip(wanted, await self._vectors.vectors(wanted), strict=True))
            except RequestError as error:
                self._failure = error
                raise
            self._failure = None
        return EmbeddedTexts([self._known[text] for text in texts], [0] * len(texts))

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        raise NotImplementedError("attribution sends texts")

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure
