"""Before a replica loads: compare the weights with their checksums, and download nothing.

`ray.serve.llm` has a download step of its own. The weights are in a folder already; the step would
start one more process that imports vLLM on each node, for nothing.
"""

from pathlib import Path

from ray.llm._internal.common.callbacks.base import CallbackBase

from cluster.models import check_weights

__all__ = ["LocalWeights"]


class LocalWeights(CallbackBase):  # type: ignore[misc]
    """Callback of `ray.serve.llm`."""

    async def on_before_node_init(self) -> None:
        """Called by `ray.serve.llm` before it downloads. Raises ModelSourceError."""
        self.ctx.run_init_node = False
        check_weights(Path(self.llm_config.model_loading_config.model_source))
