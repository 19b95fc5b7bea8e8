"""Settings of documents and of the answers from them."""

from typing import Any, Literal

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["FactCheckSettings", "GroundingSettings", "IngestionSettings", "RetrievalSettings"]


class RetrievalSettings(Section):
    """How passages are found and ranked."""

    mode: Literal["hybrid", "dense", "bm25"] = "hybrid"
    """Default search mode."""
    fusion: Literal["rrf", "weighted"] = "rrf"
    """How dense and BM25 rankings are merged."""
    dense_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of the dense side under `fusion: weighted`."""
    candidates: int = Field(default=50, ge=1, le=1000)
    """Passages taken from each side before fusion."""
    feedback_passages: int = Field(default=3, ge=0, le=20)
    """Hybrid search moves the query towards this many leading passages; 0 is off."""
    feedback_weight: float = Field(default=0.75, ge=0, le=2)
    """Their weight beside the query's 1 (0.75 is the textbook value of Rocchio's rule)."""
    limit: int = Field(default=10, ge=1, le=50)
    """Passages returned by default."""
    rerank: bool = False
    """Rerank by default."""
    reranker: str = "late-interaction"
    """`late-interaction` (token vectors of the embedding model) or a cross-encoder's source."""
    rerank_candidates: int = Field(default=30, ge=1, le=200)
    """Passages that are reranked."""
    mmr_lambda: float | None = Field(default=None, ge=0, le=1)
    """Maximal marginal relevance: 1 is relevance only, 0 diversity only, null is off."""
    score_threshold: float = Field(default=0.0, ge=0, le=1)
    """Passages below are not returned."""
    replicas: int = Field(default=1, ge=1)
    """Fixed number of retriever replicas."""
    cpus_per_replica: float = Field(default=0.1, gt=0)
    """CPUs that Ray reserves for a replica."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Time limit of one search."""


class FactCheckSettings(Section):
    """What becomes of sentences that the passages do not support.

    `flag` leaves them in the answer, marked. `drop` takes them out: each sentence is sent once it
    is checked. `regenerate` asks the model once more, then drops: nothing is sent before all is
    checked. Answers in JSON are flagged only.
    """

    contradicted: Literal["flag", "drop", "regenerate"] = "flag"
    """For sentences of which a passage says otherwise."""
    unverifiable: Literal["flag", "drop", "regenerate"] = "flag"
    """For sentences of which no passage speaks."""
    judge: str | None = None
    """A served model that is asked about sentences whose words leave doubt; null: nobody is."""
    judge_timeout_s: float = Field(default=5.0, gt=0)
    """So long one question to it may take; then the sentence stays as it was."""
    max_judged: int = Field(default=8, ge=0)
    """Sentences of one answer that it is asked about."""


class GroundingSettings(Section):
    """How passages become a prompt and an answer becomes citations."""

    prompt: str = "grounded_answer"
    """Name of the prompt file in `deployments/prompts/`."""
    max_context_tokens: int = Field(default=900, ge=64)
    """Upper bound of passage tokens in the prompt; never more than context minus answer."""
    answer_tokens: int = Field(default=256, ge=16)
    """Tokens kept free for the answer when the client sets no limit."""
    max_passages: int = Field(default=4, ge=1, le=50)
    """Passages in the prompt by default."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Default temperature of grounded answers."""
    min_similarity: float = Field(default=0.30, ge=-1, le=1)
    """Cosine of question and best passage below which terms must carry the support."""
    min_term_coverage: float = Field(default=0.7, ge=0, le=1)
    """Share of the question's weighted terms that the passages must hold."""
    attribution_similarity: float = Field(default=0.60, ge=0, le=1)
    """Cosine of sentence and passage window from which the sentence counts as supported."""
    attribution_overlap: float = Field(default=0.60, ge=0, le=1)
    """Share of a sentence's content terms in a passage from which it counts as supported."""
    fact_check: FactCheckSettings = FactCheckSettings()


class IngestionSettings(Section):
    """How documents are parsed and cut."""

    chunking: dict[str, Any] = Field(default_factory=lambda: {"type": "auto"})
    """Default chunking strategy."""
    file_timeout_s: float = Field(default=300.0, gt=0)
    """Time limit for parsing one file."""
    parsers: int = Field(default=1, ge=1)
    """Parser processes; so many read Parquet to train on at once in each gateway."""
    parser_memory_mib: int = Field(default=2048, ge=128)
    """Memory that a parser process may take beyond what it has when idle."""
    sandbox: Literal["available", "required"] = "available"
    """`required`: no document is parsed where the machine cannot shut a parser off from the network
    and from all files; otherwise what is missing is logged, and `everloop doctor` lists it."""
    max_file_bytes: int = Field(default=512 * 1024**2, ge=1)
    """Largest upload."""
    max_pages: int = Field(default=5000, ge=1)
    """Pages, slides or sheets of a document."""
    max_characters: int = Field(default=20_000_000, ge=1)
    """Characters of text that a document may hold."""
    max_archive_entries: int = Field(default=10_000, ge=1)
    """Entries of an archive (Office files and books are archives) and of those inside it."""
    max_expanded_bytes: int = Field(default=512 * 1024**2, ge=1)
    """Bytes that an archive and those inside it may expand to."""
    max_expansion_ratio: int = Field(default=200, ge=2)
    """Bytes that a compressed byte may become, where an archive expands to more than 32 MiB."""
    max_archive_nesting: int = Field(default=2, ge=0)
    """Archives within archives."""
    max_attempts: int = Field(default=3, ge=1)
    """Tries for a file whose worker died. The last is made with no other file in work, so that a
    file is given up only for what itself did; with 1, that is a second one."""
    max_files_per_store: int = Field(default=10_000, ge=1)
    """Files a vector store may hold, as at OpenAI."""
    url_timeout_s: float = Field(default=30.0, gt=0)
    """Time limit for fetching a URL."""
    url_max_bytes: int = Field(default=50 * 1024**2, ge=1)
    """Largest fetched page."""
    allow_private_urls: bool = False
    """Fetch from loopback and private addresses too."""
