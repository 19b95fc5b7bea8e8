"""What the routes answer: OpenAI's objects, and our additions to them, made from records."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from cluster.records import FileBatch, StoredFile, VectorStore, VectorStoreFile
from deployments.retriever.messages import RetrievedPassage

__all__ = [
    "UNFINISHED_STAGES",
    "Deleted",
    "FileBatchObject",
    "FileCounts",
    "FileObject",
    "SearchPage",
    "SearchResultObject",
    "TextContent",
    "VectorStoreFileObject",
    "VectorStoreObject",
    "status_of",
]

Status = Literal["in_progress", "completed", "failed", "cancelled"]
UNFINISHED_STAGES: Final = ("queued", "parsing", "chunking", "embedding", "indexing")
_ENDED: Final[dict[str, Status]] = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
_DAY_S: Final = 86_400


def status_of(stage: str) -> Status:
    """OpenAI's status of a file at this stage."""
    return _ENDED.get(stage, "in_progress")


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class Deleted(BaseModel):
    """What a deletion answers."""

    id: str
    object: str
    deleted: bool = True


class DeletionReport(BaseModel):
    """Where a document was deleted, and what follows within moments."""

    documents: int
    """Versions that were in vector stores."""
    passages: int
    passages_gone: Literal["now", "soon"]
    """`soon`: they are found no more, and leave the index once it answers again."""
    bytes: int
    """Of the file itself, where that went."""
    quotes_gone: Literal["soon"] = "soon"
    """In traces, stored responses and evaluated answers."""
    stays: list[str] = [
        "answers, which are a model's words",
        "ids of passages in lineage",
        "data sets and adapters made of answers; lineage says which",
    ]


class DocumentDeleted(Deleted):
    """What the deletion of documents answers."""

    report: DeletionReport


class DatasetObject(BaseModel):
    """What a training file holds. It was read whole, and nothing in it is wrong."""

    rows: int
    form: Literal["chat", "preference", "completion"]
    messages: int
    characters: int
    columns: dict[str, Any] | None = None
    """Which columns of a table hold what, where that was given."""

    @classmethod
    def of(cls, meta: dict[str, Any]) -> "DatasetObject | None":
        """Make it from a file's `meta`; None where the file is none to train on."""
        if "dataset" not in meta:
            return None
        counts = meta["dataset"]
        (form,) = counts["by_kind"]
        return cls(**{**counts, "form": form}, columns=meta.get("columns"))


class FileObject(BaseModel):
    """An uploaded file."""

    model_config = _example(
        id="file-019abc",
        object="file",
        bytes=52_410,
        created_at=1_760_000_000,
        filename="handbook.pdf",
        purpose="user_data",
        status="processed",
    )
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None
    dataset: DatasetObject | None = None
    """Of a training file."""

    @classmethod
    def of(cls, row: StoredFile) -> "FileObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            bytes=row.bytes,
            created_at=row.created_at,
            expires_at=row.expires_at,
            filename=row.filename,
            purpose=row.purpose,
            dataset=DatasetObject.of(row.meta),
        )


class FileCounts(BaseModel):
    """Files of a store or a batch by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0

    def add(self, stage: str, files: int) -> None:
        """Count `files` more at this stage."""
        status = status_of(stage)
        setattr(self, status, getattr(self, status) + files)
        self.total += files


class VectorStoreObject(BaseModel):
    """A vector store."""

    model_config = _example(
        id="vs_019abc",
        object="vector_store",
        created_at=1_760_000_000,
        name="handbooks",
        usage_bytes=52_410,
        status="completed",
        file_counts=FileCounts(completed=1, total=1).model_dump(),
        last_active_at=1_760_000_100,
        metadata={},
    )
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None = None
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: dict[str, Any] | None = None
    expires_at: int | None = None
    last_active_at: int | None = None
    metadata: dict[str, str]

    @classmethod
    def of(
        cls, row: VectorStore, counts: FileCounts, usage_bytes: int, at: int
    ) -> "VectorStoreObject":
        """Make it from its record and what its files add up to at the time `at`."""
        expires_at = expiry_of(row)
        status: Literal["expired", "in_progress", "completed"] = "completed"
        if expires_at is not None and at >= expires_at:
            status = "expired"
        elif counts.in_progress:
            status = "in_progress"
        return cls(
            id=row.id,
            created_at=row.created_at,
            name=row.name,
            description=row.description,
            usage_bytes=usage_bytes,
            file_counts=counts,
            status=status,
            expires_after=row.expires_after,
            expires_at=expires_at,
            last_active_at=row.last_active_at,
            metadata=row.meta,
        )


def expiry_of(store: VectorStore) -> int | None:
    """When the store expires, or None where it does not."""
    if not store.expires_after:
        return None
    return store.last_active_at + int(store.expires_after["days"]) * _DAY_S


class LastError(BaseModel):
    """Why a file failed."""

    code: str
    message: str


class VectorStoreFileObject(BaseModel):
    """A file in a vector store. `filename`, `stage`, `passages`, `progress` … are our additions."""

    model_config = _example(
        id="file-019abc",
        object="vector_store.file",
        created_at=1_760_000_000,
        vector_store_id="vs_019abc",
        status="completed",
        last_error=None,
        usage_bytes=52_410,
        attributes={"source": "handbook.pdf"},
        chunking_strategy={"type": "auto"},
        filename="handbook.pdf",
        stage="completed",
        passages=31,
        progress=1.0,
    )
    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    status: Status
    last_error: LastError | None = None
    usage_bytes: int
    attributes: dict[str, str | float | bool]
    chunking_strategy: dict[str, Any]
    filename: str
    stage: str
    """queued, parsing, chunking, embedding, indexing, completed, failed or cancelled."""
    failed_stage: str | None = None
    passages: int
    progress: float
    """Share of the passages that are embedded, 0 to 1."""
    pages: int | None = None
    language: str | None = None
    completed_at: int | None = None
    timings_ms: dict[str, Any]

    @classmethod
    def of(cls, row: VectorStoreFile) -> "VectorStoreFileObject":
        """Make it from its record."""
        error = None
        if row.stage == "failed":
            error = LastError(
                code=row.error_code or "server_error", message=row.error_message or "Unknown."
            )
        progress = 1.0 if row.stage == "completed" else 0.0
        if row.stage != "completed" and row.passages:
            progress = min(1.0, row.passages_done / row.passages)
        return cls(
            id=row.file_id,
            created_at=row.created_at,
            vector_store_id=row.store_id,
            status=status_of(row.stage),
            last_error=error,
            usage_bytes=row.usage_bytes,
            attributes=row.attributes,
            chunking_strategy=row.chunking,
            filename=row.filename,
            stage=row.stage,
            failed_stage=row.failed_stage,
            passages=row.passages,
            progress=round(progress, 4),
            pages=row.pages,
            language=row.language,
            completed_at=row.completed_at,
            timings_ms=row.timings_ms,
        )


class FileBatchObject(BaseModel):
    """Files that were attached in one call."""

    model_config = _example(
        id="vsfb_019abc",
        object="vector_store.files_batch",
        created_at=1_760_000_000,
        vector_store_id="vs_019abc",
        status="in_progress",
        file_counts=FileCounts(in_progress=2, total=2).model_dump(),
    )
    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Status
    file_counts: FileCounts

    @classmethod
    def of(cls, row: FileBatch, counts: FileCounts) -> "FileBatchObject":
        """Make it from its record and its files' counts."""
        status: Status = "completed"
        if counts.in_progress:
            status = "in_progress"
        elif row.cancelled_at is not None:
            status = "cancelled"
        elif counts.total and counts.failed == counts.total:
            status = "failed"
        return cls(
            id=row.id,
            created_at=row.created_at,
            vector_store_id=row.store_id,
            status=status,
            file_counts=counts,
        )


class TextContent(BaseModel):
    """A piece of text."""

    type: Literal["text"] = "text"
    text: str


class SearchResultObject(BaseModel):
    """A passage that was found. What follows `attributes` is our addition."""

    file_id: str
    filename: str
    score: float
    """0 to 1, comparable within one answer only."""
    content: list[TextContent]
    attributes: dict[str, Any]
    passage_id: str
    page: int | None = None
    page_end: int | None = None
    section: list[str]
    start: int
    """Where the passage starts in the document's normalised text, in characters."""
    end: int
    dense_score: float | None = None
    bm25_score: float | None = None
    rerank_score: float | None = None

    @classmethod
    def of(cls, found: RetrievedPassage) -> "SearchResultObject":
        """Make it from what the Retriever found."""
        return cls(
            file_id=found.file_id,
            filename=found.filename,
            score=found.score,
            content=[TextContent(text=found.text)],
            attributes=found.attributes,
            passage_id=found.id,
            page=found.page,
            page_end=found.page_end,
            section=list(found.section),
            start=found.start,
            end=found.end,
            dense_score=found.dense_score,
            bm25_score=found.bm25_score,
            rerank_score=found.rerank_score,
        )


class SearchPage(BaseModel):
    """Passages, best first."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    """The queries as they were searched."""
    data: list[SearchResultObject]
    has_more: Literal[False] = False
    next_page: None = None
    timings_ms: dict[str, float]
