"""A passage of the user's documents, and a question that was drafted for it."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from deployments.gateway.grounding.facts import facts_of
from deployments.gateway.grounding.terms import tokenize

__all__ = ["EXTRACTION", "METHODS", "Draft", "Method", "SourceText", "row_of"]

Method = Literal["model", "definition", "table", "cloze"]
METHODS: Final[tuple[Method, ...]] = ("model", "definition", "table", "cloze")
"""In the order in which they are tried for a passage."""
EXTRACTION: Final = "extraction@1"
"""Version of the rules that draft questions without a model."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """A passage as the store holds it."""

    text: str
    document: str
    """Name of its document, as searches give it."""
    file_id: str
    number: int
    """From 1, among the passages of its document."""

    @property
    def passage_id(self) -> str:
        """Names it: the file and the passage's number."""
        return f"{self.file_id}#{self.number}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A question with its answer, not filtered yet."""

    source: SourceText
    method: Method
    question: str
    answer: str
    generator: str
    """The model that wrote it, or `rules`."""
    prompt: str
    """Version of the prompt, or of the rules."""


def row_of(draft: Draft, store_id: str) -> dict[str, Any]:
    """The row that is written; its fields are those of the sample suite `rag_quality`."""
    return {
        "question": draft.question,
        "answer": draft.answer,
        "facts": _facts(draft.answer),
        "documents": [draft.source.document],
        "answerable": True,
        "kind": draft.method,
        "passage": draft.source.text,
        "metadata": {
            "synthetic": True,
            "method": draft.method,
            "generator": draft.generator,
            "prompt": draft.prompt,
            "document": draft.source.document,
            "passage_id": draft.source.passage_id,
            "vector_store_id": store_id,
        },
    }


def _facts(answer: str) -> list[str]:
    """What an answer in other words must hold too: its numbers and names, else all of it."""
    found = facts_of(answer)
    kept = found.numbers | found.names
    pieces = [token.text for token in tokenize(answer) if token.term in kept]
    return list(dict.fromkeys(pieces)) or [answer]
