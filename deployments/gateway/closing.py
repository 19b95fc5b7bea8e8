"""Closing what a model yields: a port promises an iterator only, which may not be closable."""

from collections.abc import AsyncIterator

from deployments.model.messages import Part

__all__ = ["close_parts"]


async def close_parts(parts: AsyncIterator[Part]) -> None:
    """Close `parts`, where it can be: that stops the generation."""
    close = getattr(parts, "aclose", None)
    if close is not None:
        await close()
