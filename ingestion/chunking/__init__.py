"""Parsed documents to passages: one module per way of cutting."""

from ingestion.chunking.cut import chunk_document
from ingestion.chunking.semantic import Embed, semantic_breakpoints
from ingestion.chunking.strategy import (
    AutoStrategy,
    ByTitleStrategy,
    ChunkingStrategy,
    SemanticStrategy,
    SentenceStrategy,
    StaticStrategy,
    StrategyError,
    parse_strategy,
)

__all__ = [
    "AutoStrategy",
    "ByTitleStrategy",
    "ChunkingStrategy",
    "Embed",
    "SemanticStrategy",
    "SentenceStrategy",
    "StaticStrategy",
    "StrategyError",
    "chunk_document",
    "parse_strategy",
    "semantic_breakpoints",
]
