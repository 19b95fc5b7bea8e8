"""The workers of a run as its loop sees them: who am I, and sums over all.

Gradients are summed once a step, after a worker's rows, and divided by what all rows weigh: the
loss is the mean over the step's tokens however they were split, also when a worker had no row.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import torch

__all__ = ["Alone", "Together", "Workers"]

_BUCKET_BYTES: Final = 64 * 1024**2


class Workers(Protocol):
    """All calls are collective: every worker makes them, in the same order."""

    @property
    def rank(self) -> int:
        """0 for the one that reports and writes."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def add_up(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Replace each tensor by its sum over all workers."""
        ...

    def take_from_first(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Replace each tensor by the first worker's."""
        ...


class Alone:
    """One worker, no communication."""

    rank = 0
    size = 1

    def add_up(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Nothing to add."""

    def take_from_first(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Nothing to take."""


class Together:
    """The default process group of torch.distributed: gloo on CPUs, NCCL on GPUs."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank: int = dist.get_rank()
        self.size: int = dist.get_world_size()

    def add_up(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Replace each tensor by its sum over all workers, many tensors in one message."""
        import torch
        import torch.distributed as dist

        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def take_from_first(self, tensors: Sequence["torch.Tensor"]) -> None:
        """Replace each tensor by the first worker's."""
        import torch.distributed as dist

        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def _buckets(tensors: Sequence["torch.Tensor"]) -> list[list["torch.Tensor"]]:
    """Runs of tensors of one kind that fill a message each."""
    buckets: list[list[torch.Tensor]] = []
    size = 0
    for tensor in tensors:
        like = bool(buckets) and buckets[-1][0].dtype == tensor.dtype
        if not like or size + tensor.nbytes > _BUCKET_BYTES:
            buckets.append([])
            size = 0
        buckets[-1].append(tensor)
        size += tensor.nbytes
    return buckets
