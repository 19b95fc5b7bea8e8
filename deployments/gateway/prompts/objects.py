"""What the prompt registry's routes answer."""

from typing import Any, Literal

from pydantic import BaseModel

from cluster.records import PromptLabel, PromptLabelMove, PromptRecord, PromptVersion

__all__ = [
    "ExportedPrompt",
    "LabelMoveObject",
    "LabelObject",
    "PromptDiff",
    "PromptObject",
    "RenderedPrompt",
    "VersionObject",
]


class VersionObject(BaseModel):
    """A version of a prompt: immutable, named by its content."""

    id: str
    """`name@digest`."""
    object: Literal["prompt.version"] = "prompt.version"
    created_at: int
    prompt: str
    """Id of the prompt."""
    name: str
    number: int
    digest: str
    comment: str | None
    labels: list[str]
    """Those that stand at it now."""
    created: bool = False
    """Whether this request made it; false where there was one with the same body."""
    body: dict[str, Any] | None
    """Messages, variables, examples, output schema, stops, refusal, steps; lists leave it out."""

    @classmethod
    def of(
        cls, row: PromptVersion, labels: list[str], *, whole: bool = True, created: bool = False
    ) -> "VersionObject":
        """Make it from its record."""
        return cls(
            id=f"{row.name}@{row.digest}",
            created_at=row.created_at,
            prompt=row.prompt_id,
            name=row.name,
            number=row.number,
            digest=row.digest,
            comment=row.comment,
            labels=labels,
            created=created,
            body=row.body if whole else None,
        )


class PromptObject(BaseModel):
    """A prompt."""

    id: str
    object: Literal["prompt"] = "prompt"
    created_at: int
    updated_at: int
    name: str
    description: str
    metadata: dict[str, Any]
    latest: int
    """Number of its last version."""
    labels: dict[str, int]
    """Number of the version that each label stands at."""
    version: VersionObject | None = None
    """The version that this request made or found, where it gave one."""

    @classmethod
    def of(cls, row: PromptRecord, labels: dict[str, int]) -> "PromptObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            updated_at=row.updated_at,
            name=row.name,
            description=row.description,
            metadata=row.meta,
            latest=row.latest,
            labels=labels,
        )


class LabelObject(BaseModel):
    """A label of a prompt, and the version it stands at."""

    id: str
    object: Literal["prompt.label"] = "prompt.label"
    prompt: str
    number: int
    version: str
    """`name@digest`."""
    previous: int | None = None
    """Of a label that was just moved: where it stood."""
    moves: int
    updated_at: int

    @classmethod
    def of(
        cls, row: PromptLabel, version: PromptVersion, previous: int | None = None
    ) -> "LabelObject":
        """Make it from its record."""
        return cls(
            id=row.label,
            prompt=row.prompt_id,
            number=row.number,
            version=f"{version.name}@{version.digest}",
            previous=previous,
            moves=row.moves,
            updated_at=row.updated_at,
        )


class LabelMoveObject(BaseModel):
    """One move of a label."""

    id: str
    object: Literal["prompt.label.move"] = "prompt.label.move"
    label: str
    source: int | None
    target: int
    kind: str
    """created, moved or rollback."""
    reason: str | None
    undone: int
    """Of a rollback: how many moves it took back."""
    created_at: int

    @classmethod
    def of(cls, row: PromptLabelMove) -> "LabelMoveObject":
        """Make it from its record."""
        return cls(
            id=str(row.id),
            label=row.label,
            source=row.source,
            target=row.target,
            kind=row.kind,
            reason=row.reason,
            undone=row.undone,
            created_at=row.created_at,
        )


class PromptDiff(BaseModel):
    """What two versions say differently."""

    object: Literal["prompt.diff"] = "prompt.diff"
    old: str
    """`name@digest`."""
    new: str
    changes: list[dict[str, Any]]
    """By place: `path`, `kind` (added, removed, changed), `old`, `new`."""
    unified: str
    """The unified diff of both as YAML."""


class RenderedPrompt(BaseModel):
    """A version's messages with values in place of variables."""

    object: Literal["prompt.rendering"] = "prompt.rendering"
    version: str
    messages: list[dict[str, str]]
    tokens: int
    """Upper bound of the prompt's tokens, by the tokenizer of `model`."""
    model: str


class ExportedPrompt(BaseModel):
    """A version in another format."""

    object: Literal["prompt.export"] = "prompt.export"
    version: str
    format: str
    content: str
