"""What answers beside a model: the prompt, and how passages are found.

An alias and an arm of an experiment name one; so do their records.
"""

from typing import Any, Literal

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["Retrieval", "Serving"]


class Retrieval(Section):
    """How passages are found, where the client's `file_search` does not say."""

    mode: Literal["hybrid", "dense", "bm25"] | None = None
    rerank: bool | None = None
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    score_threshold: float | None = Field(default=None, ge=0, le=1)


class Serving(Section):
    """Prompt and retrieval; what is absent is as the settings say."""

    prompt: str | None = Field(default=None, max_length=128)
    """A pinned prompt version, `name@digest`."""
    retrieval: Retrieval = Retrieval()

    @classmethod
    def of_json(cls, value: dict[str, Any] | None) -> "Serving":
        """Read a record's column."""
        return cls() if value is None else cls.model_validate(value)

    def to_json(self) -> dict[str, Any] | None:
        """Make a record's column; None where nothing is chosen."""
        return self.model_dump(mode="json", exclude_none=True) if self != Serving() else None
