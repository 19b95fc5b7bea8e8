"""Texts with what must not be shown taken out."""

from collections.abc import Sequence

from deployments.guards.verdict import Span

__all__ = ["masked_text"]


def masked_text(text: str, spans: Sequence[Span]) -> str:
    """`text` with `<KIND>` in place of each span; those that overlap become one."""
    parts: list[str] = []
    end = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start >= end:
            parts += [text[end : span.start], f"<{span.kind}>"]
        end = max(end, span.end)
    return "".join((*parts, text[end:]))
