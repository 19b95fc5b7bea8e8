"""What grounding writes into the trace of its request: JSON values only."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from deployments.gateway.grounding.events import Finished
from deployments.gateway.grounding.packing import Packing
from deployments.gateway.grounding.support import SupportDecision
from deployments.retriever.messages import RetrievedPassage
from deployments.tracing.draft import TraceDraft

__all__ = ["trace_decision", "trace_packing", "trace_result"]


def trace_decision(trace: TraceDraft, decision: SupportDecision) -> None:
    """Write why the model was asked or not."""
    trace.body["support"] = {**asdict(decision), "missing_names": list(decision.missing_names)}


def trace_packing(
    trace: TraceDraft, packing: Packing | None, unused: Sequence[RetrievedPassage]
) -> None:
    """Write which passages were in the prompt, and which were not and why."""
    if packing is None:
        trace.body["passages"] = []
        trace.body["left_out"] = [{**_described(p), "reason": "refused"} for p in unused]
        return
    trace.body["passages"] = [
        {
            **_described(used.passage),
            "number": used.number,
            "text": used.text,
            "tokens": used.tokens,
            "truncated": used.truncated,
        }
        for used in packing.used
    ]
    trace.body["left_out"] = [
        {**_described(left.passage), "reason": left.reason, "tokens": left.tokens}
        for left in packing.left_out
    ]
    trace.body["budget"] = {"passage_tokens": packing.tokens, "allowed": packing.budget}


def trace_result(trace: TraceDraft, finished: Finished) -> None:
    """Write the answer and what supports it."""
    trace.answer, trace.refused = finished.text, finished.refused
    trace.body["sentences"] = [
        {
            "start": sentence.start,
            "end": sentence.end,
            "supported": sentence.supported,
            "checkable": sentence.checkable,
            "verdict": sentence.verdict,
            "reason": sentence.reason,
            "supports": [asdict(support) for support in sentence.supports],
            "contradicted_by": (
                None if sentence.contradicted_by is None else asdict(sentence.contradicted_by)
            ),
        }
        for sentence in finished.sentences
    ]
    trace.body.update(
        tokens={
            "prompt": finished.usage.prompt_tokens,
            "completion": finished.usage.completion_tokens,
        },
        finish_reason=finished.finish_reason,
        groundedness=finished.groundedness,
        refused=finished.refused,
        dropped=[asdict(sentence) for sentence in finished.dropped],
        regenerated=finished.regenerated,
    )


def _described(passage: RetrievedPassage) -> dict[str, Any]:
    return {
        "id": passage.id,
        "file_id": passage.file_id,
        "filename": passage.filename,
        "vector_store_id": passage.store_id,
        "page": passage.page,
        "section": list(passage.section),
        "score": passage.score,
        "dense_score": passage.dense_score,
        "bm25_score": passage.bm25_score,
        "rerank_score": passage.rerank_score,
    }
