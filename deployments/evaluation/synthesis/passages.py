"""The passages of a vector store, over the API."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deployments.evaluation.synthesis.drafts import SourceText
from deployments.gateway.grounding.terms import content_terms

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["in_turn", "passages_of_store", "search_documents"]

_LEAST_TERMS: Final = 5
_FILES: Final = 10_000


def passages_of_store(client: "OpenAI", store_id: str) -> list[SourceText]:
    """The passages of its completed files, in the order of the files and of their text."""
    found: list[SourceText] = []
    files = client.vector_stores.files.list(store_id, filter="completed", limit=100, order="asc")
    for count, file in enumerate(files):
        if count >= _FILES:
            break
        parts = client.vector_stores.files.content(file.id, vector_store_id=store_id)
        extra = file.model_extra or {}
        document = str(extra.get("filename") or (file.attributes or {}).get("source") or file.id)
        for number, part in enumerate(parts, start=1):
            if part.text:
                found.append(SourceText(part.text, document, file.id, number))
    return found


def in_turn(sources: Sequence[SourceText], seed: int) -> list[SourceText]:
    """Passages that say something, a document at a time in turn, so that none is left for last."""
    documents: dict[str, list[SourceText]] = {}
    for source in sources:
        if len(content_terms(source.text)) >= _LEAST_TERMS:
            documents.setdefault(source.file_id, []).append(source)
    order = random.Random(seed)  # noqa: S311 - a choice of passages, no secret
    for passages in documents.values():
        order.shuffle(passages)
    longest = max(map(len, documents.values()), default=0)
    return [
        passages[place]
        for place in range(longest)
        for passages in documents.values()
        if place < len(passages)
    ]


def search_documents(client: "OpenAI", store_id: str, question: str, limit: int) -> list[str]:
    """Names of the documents that a search finds, best first, one per passage."""
    page = client.vector_stores.search(store_id, query=question, max_num_results=limit)
    return [result.filename for result in page.data]
