"""Traces: what each request did, kept off the hot path."""
