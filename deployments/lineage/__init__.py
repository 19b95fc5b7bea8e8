"""Lineage: what led to an answer, and what a document or dataset led to."""
