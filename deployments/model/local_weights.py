"""Spares `ray.serve.llm` its download step: the weights are in a folder already.

The step would start one more process that imports vLLM on each node, for nothing.
"""

from ray.llm._internal.common.callbacks.base import CallbackBase

__all__ = ["LocalWeights"]


class LocalWeights(CallbackBase):  # type: ignore[misc]
    """Callback of `ray.serve.llm`."""

    async def on_before_node_init(self) -> None:
        """Called by `ray.serve.llm` before it downloads."""
        self.ctx.run_init_node = False
