"""The stages of the bulk job that run inside Ray Data's workers.

claimed file → CutFile → one row per passage (or one that says why there is none) → EmbedPassages →
the same rows with vectors → the driver's BulkWriter. Columns are those of `PassageRow`.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from cluster.errors import EverloopError
from cluster.storage import ByteStore
from ingestion.chunking import chunk_document, parse_strategy
from ingestion.errors import DocumentError
from ingestion.loaders.limits import DocumentLimits
from ingestion.parsing import ParserDiedError, ParserPool
from ingestion.passages import Chunk, ParsedDocument
from ingestion.pipeline import check_chunks
from ingestion.stored_text import dump_document, text_key

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ingestion.embedding import EmbeddingModel

__all__ = ["CutFile", "EmbedPassages", "PassageRow", "StageSettings", "chunk_of", "failure_row"]

_NONE: Final = -1


@dataclass(frozen=True, slots=True)
class StageSettings:
    """What the workers need to know."""

    storage_url: str
    storage_options: dict[str, Any]
    file_timeout_s: float
    parser_memory_mib: int
    limits: DocumentLimits
    sandbox: Literal["available", "required"]
    max_attempts: int
    embedding_source: str
    cache_dir: str
    device: Literal["cpu", "gpu"]
    threads: int
    batch_tokens: int


class PassageRow(TypedDict):
    """One passage of a file, or the reason why the file has none (`code` is set)."""

    number: int
    passages: int
    """Of the whole file."""
    ordinal: int
    text: str
    start: int
    end: int
    tokens: int
    page: int
    page_end: int
    section: str
    language: str
    pages: int
    stage: str
    code: str
    reason: str


class CutFile:
    """Parses in a killable process and cuts into passages; keeps the normalised text."""

    def __init__(self, settings: StageSettings) -> None:
        self._settings = settings
        self._storage = ByteStore(settings.storage_url, settings.storage_options)
        self._runner = asyncio.Runner()
        self._pool: ParserPool | None = None
        self._tokenizer: Tokenizer | None = None
        self._model: EmbeddingModel | None = None

    def __call__(self, file: dict[str, Any]) -> list[PassageRow]:
        """Return the rows of a file: a claim's columns, `chunking` as JSON."""
        number, filename = int(file["number"]), str(file["filename"])
        stage = "parsing"
        try:
            document = self._runner.run(self._parse(str(file["storage_key"]), filename))
            stage = "chunking"
            chunks = chunk_document(
                document,
                parse_strategy(json.loads(file["chunking"])),
                self._load_tokenizer(),
                self._embed,
            )
            check_chunks(chunks, filename)
            key = text_key(str(file["project_id"]), number)
            self._storage.put(key, [dump_document(document)])
        except DocumentError as error:
            return [failure_row(number, stage, error.code, str(error))]
        except EverloopError as error:
            return [failure_row(number, stage, "server_error", str(error))]
        except Exception as error:  # noqa: BLE001 - a bad file never stops the batch
            reason = f"An unexpected {type(error).__name__}; the job's log has it."
            return [failure_row(number, stage, "server_error", reason)]
        return [_row(number, len(chunks), chunk, document) for chunk in chunks]

    async def _parse(self, storage_key: str, filename: str) -> ParsedDocument:
        if self._pool is None:
            self._pool = ParserPool(
                self._settings.storage_url,
                self._settings.storage_options,
                timeout_s=self._settings.file_timeout_s,
                memory_mib=self._settings.parser_memory_mib,
                limits=self._settings.limits,
                sandbox=self._settings.sandbox,
            )
            self._pool.start()
        for attempt in range(1, self._settings.max_attempts + 1):
            try:
                return await self._pool.parse(storage_key, filename)
            except ParserDiedError:
                if attempt == self._settings.max_attempts:
                    raise
        raise AssertionError("unreachable")

    def _load_tokenizer(self) -> "Tokenizer":
        if self._tokenizer is None:
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(_folder(self._settings) / "tokenizer.json"))
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
        return self._tokenizer

    def _embed(self, texts: list[str]) -> Any:
        """Embed sentences, for the semantic strategy only."""
        if self._model is None:
            self._model = _model(self._settings)
        return self._model.encode(texts, batch_tokens=self._settings.batch_tokens)[0]


class EmbedPassages:
    """Adds `vector` (n, dimension) to a batch of PassageRow columns; zeros for failures."""

    def __init__(self, settings: StageSettings) -> None:
        self._batch_tokens = settings.batch_tokens
        self._model = _model(settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embed one batch."""
        import numpy as np

        places = [i for i, code in enumerate(batch["code"]) if not code]
        vectors = np.zeros((len(batch["code"]), self._model.dimension), dtype=np.float32)
        if places:
            texts = [str(batch["text"][i]) for i in places]
            vectors[places] = self._model.encode(texts, batch_tokens=self._batch_tokens)[0]
        return {**batch, "vector": vectors}


def failure_row(number: int, stage: str, code: str, reason: str) -> PassageRow:
    """Return the row of a file without passages."""
    return PassageRow(
        number=number,
        passages=0,
        ordinal=_NONE,
        text="",
        start=0,
        end=0,
        tokens=0,
        page=_NONE,
        page_end=_NONE,
        section="[]",
        language="",
        pages=_NONE,
        stage=stage,
        code=code,
        reason=reason,
    )


def chunk_of(row: PassageRow) -> Chunk:
    """Return the chunk that a row stands for."""
    return Chunk(
        ordinal=int(row["ordinal"]),
        text=str(row["text"]),
        start=int(row["start"]),
        end=int(row["end"]),
        tokens=int(row["tokens"]),
        page=_optional(row["page"]),
        page_end=_optional(row["page_end"]),
        section=tuple(json.loads(row["section"])),
    )


def _row(number: int, passages: int, chunk: Chunk, document: ParsedDocument) -> PassageRow:
    return PassageRow(
        number=number,
        passages=passages,
        ordinal=chunk.ordinal,
        text=chunk.text,
        start=chunk.start,
        end=chunk.end,
        tokens=chunk.tokens,
        page=_NONE if chunk.page is None else chunk.page,
        page_end=_NONE if chunk.page_end is None else chunk.page_end,
        section=json.dumps(chunk.section, ensure_ascii=False),
        language=document.language or "",
        pages=_NONE if document.pages is None else document.pages,
        stage="",
        code="",
        reason="",
    )


def _optional(value: int) -> int | None:
    return None if int(value) == _NONE else int(value)


def _folder(settings: StageSettings) -> Path:
    from cluster.models import ensure_model

    return ensure_model(settings.embedding_source, Path(settings.cache_dir))


def _model(settings: StageSettings) -> "EmbeddingModel":
    from ingestion.embedding import EmbeddingModel

    return EmbeddingModel(_folder(settings), device=settings.device, threads=settings.threads)
