"""What the routes read: request bodies with OpenAI's limits. An unknown field is an error."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deployments.storable import Count, storable, tree
from ingestion.chunking import parse_strategy

__all__ = [
    "Attributes",
    "BatchCreate",
    "Body",
    "EmbeddingCreate",
    "FileAttach",
    "FileUpdate",
    "RankingOptions",
    "Rerank",
    "Search",
    "StoreCreate",
    "StoreUpdate",
    "Text",
    "storable",
    "tree",
]

MAX_BATCH_FILES = 2000


def _strategy(value: dict[str, Any]) -> dict[str, Any]:
    parse_strategy(value)  # raises StrategyError, a ValueError with the path of the field
    return value


Text = Annotated[str, AfterValidator(storable)]
Key = Annotated[Text, Field(min_length=1, max_length=64)]
Short = Annotated[Text, Field(max_length=512)]
FileId = Annotated[Text, Field(min_length=1, max_length=64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Attributes = Annotated[dict[Key, bool | Finite | Short], Field(max_length=16)]
"""OpenAI's limits: 16 keys of 64 characters; strings of 512 characters, numbers and booleans."""
Metadata = Annotated[dict[Key, Short], Field(max_length=16)]
Strategy = Annotated[dict[str, Any], AfterValidator(tree), AfterValidator(_strategy)]


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ExpiresAfter(Body):
    """When a store expires."""

    anchor: Literal["last_active_at"] = "last_active_at"
    days: int = Field(ge=1, le=365)


class StoreCreate(Body):
    """Create a vector store."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "handbooks", "file_ids": ["file-019abc"]}]}
    )
    name: Annotated[Text, Field(max_length=256)] | None = None
    description: Annotated[Text, Field(max_length=4096)] | None = None
    file_ids: list[FileId] = Field(default_factory=list, max_length=500)
    chunking_strategy: Strategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class StoreUpdate(Body):
    """Change a vector store; what is absent stays."""

    name: Annotated[Text, Field(max_length=256)] | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class FileAttach(Body):
    """Attach a file to a vector store."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"file_id": "file-019abc", "attributes": {"source": "handbook.pdf"}}]
        }
    )
    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None
    on_same_name: Literal["replace", "keep"] = "replace"
    """Whether this file replaces the earlier one of the same source or name, once it is whole."""


class FileUpdate(Body):
    """Change a file's attributes; null removes them all."""

    attributes: Attributes | None


class BatchCreate(Body):
    """Attach many files: `file_ids` that share settings, or `files` with their own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"file_ids": ["file-019abc", "file-019abd"]}]}
    )
    file_ids: list[FileId] | None = Field(default=None, min_length=1, max_length=MAX_BATCH_FILES)
    files: list[FileAttach] | None = Field(default=None, min_length=1, max_length=MAX_BATCH_FILES)
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None
    on_same_name: Literal["replace", "keep"] = "replace"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("Exactly one of file_ids and files is needed")
        if self.files is not None and (self.attributes or self.chunking_strategy):
            raise ValueError("With files, attributes and chunking_strategy stand in each of them")
        return self

    def attachments(self) -> list[FileAttach]:
        """Return one per file, whichever way they were given."""
        if self.files is not None:
            return self.files
        return [
            FileAttach.model_construct(
                file_id=file_id,
                attributes=self.attributes,
                chunking_strategy=self.chunking_strategy,
                on_same_name=self.on_same_name,
            )
            for file_id in self.file_ids or []
        ]


class RankingOptions(Body):
    """OpenAI's ranking options."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    """`none` switches reranking off; the others leave it to `rerank` and the settings."""
    score_threshold: float | None = Field(default=None, ge=0, le=1)


class Search(Body):
    """Search a vector store. `mode`, `fusion`, `rerank` and `mmr_lambda` are our additions."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "How long is parental leave?"}]}
    )
    query: (
        Annotated[Text, Field(min_length=1, max_length=4096)]
        | Annotated[
            list[Annotated[Text, Field(min_length=1, max_length=4096)]],
            Field(min_length=1, max_length=10),
        ]
    )
    filters: Annotated[dict[str, Any], AfterValidator(tree)] | None = None
    max_num_results: int = Field(default=10, ge=1, le=50)
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False
    """Read and not acted upon: `search_query` in the answer says what was searched."""
    mode: Literal["hybrid", "dense", "bm25"] | None = None
    fusion: Literal["rrf", "weighted"] | None = None
    rerank: bool | None = None
    mmr_lambda: float | None = Field(default=None, ge=0, le=1)


Tokens = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=8192)
]


class EmbeddingCreate(Body):
    """Embed texts or tokens."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "all-minilm-l6-v2", "input": "Hello"}]}
    )
    model: Text
    input: (
        Annotated[Text, Field(min_length=1)]
        | Annotated[
            list[Annotated[Text, Field(min_length=1)]], Field(min_length=1, max_length=2048)
        ]
        | Tokens
        | Annotated[list[Tokens], Field(min_length=1, max_length=2048)]
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = None
    user: Text | None = None


class RerankDocument(BaseModel):
    """A document with further fields, which are given back as they are."""

    model_config = ConfigDict(extra="allow")
    text: Text

    @model_validator(mode="after")
    def _storable(self) -> Self:
        tree(self.model_extra or {})
        return self


class Rerank(Body):
    """Order documents by relevance to a query (the Cohere and Jina shape)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "leave", "documents": ["Parental leave is…", "Cats purr."]}]
        }
    )
    model: Text | None = None
    query: Annotated[Text, Field(min_length=1, max_length=4096)]
    documents: list[Text | RerankDocument] = Field(min_length=1, max_length=1000)
    top_n: Count | None = None
    return_documents: bool = False
    max_tokens_per_doc: Count | None = None
    """Read and not acted upon: the reranker cuts at its model's own limit."""
