"""Bytes to parsed documents: one module per family of formats."""

from ingestion.loaders.document import load_document
from ingestion.loaders.formats import FORMATS_BY_EXTENSION, Format

__all__ = ["FORMATS_BY_EXTENSION", "Format", "load_document"]
