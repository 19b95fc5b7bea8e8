"""Citations as clients read them, on both surfaces."""

from dataclasses import asdict
from typing import Any

from deployments.gateway.grounding.events import Citation, Finished

__all__ = ["chat_annotation", "grounding_summary", "response_annotation"]


def response_annotation(citation: Citation) -> dict[str, Any]:
    """OpenAI's `file_citation` of `/v1/responses`, with where the quote stands as further keys.

    `index` is where in the answer the citation belongs: the end of its sentence.
    """
    return {"type": "file_citation", **_fields(citation)}


def chat_annotation(citation: Citation) -> dict[str, Any]:
    """Nest the same as annotations of chat messages are."""
    return {"type": "file_citation", "file_citation": _fields(citation)}


def grounding_summary(finished: Finished, trace_id: str) -> dict[str, Any]:
    """How well the answer is supported, sentence by sentence."""
    return {
        "groundedness": finished.groundedness,
        "refused": finished.refused,
        "trace_id": trace_id,
        "sentences": [
            {
                "start_index": sentence.start,
                "end_index": sentence.end,
                "supported": sentence.supported,
                "checkable": sentence.checkable,
                "verdict": sentence.verdict,
                "reason": sentence.reason or None,
            }
            for sentence in finished.sentences
        ],
        "contradictions": [_fields(place) for place in finished.contradictions],
        "dropped": [asdict(dropped) for dropped in finished.dropped],
        "regenerated": finished.regenerated,
    }


def _fields(citation: Citation) -> dict[str, Any]:
    passage = citation.passage
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "index": citation.end,
        "start_index": citation.start,
        "end_index": citation.end,
        "quote": citation.quote,
        "page": passage.page,
        "page_end": passage.page_end,
        "section": list(passage.section),
        "passage_id": passage.id,
        "vector_store_id": passage.store_id,
        "score": citation.score,
        "method": citation.method,
    }
