"""Sums over workers. Two real ones meet in test_trainer.py."""

from collections.abc import Iterator

import pytest

from training.workers import Together, _buckets


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone."""
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_tensors_of_several_kinds_and_shapes_come_back_as_they_were() -> None:
    import torch

    tensors = [
        torch.arange(6.0).reshape(2, 3),
        torch.tensor([7.0], dtype=torch.float64),
        torch.tensor(8.0),
    ]
    expected = [tensor.clone() for tensor in tensors]
    workers = Together()
    workers.add_up(tensors)
    workers.take_from_first(tensors)
    assert (workers.rank, workers.size) == (0, 1)
    assert all(found.equal(wanted) for found, wanted in zip(tensors, expected, strict=True))


def test_a_message_holds_tensors_of_one_kind_up_to_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr("training.workers._BUCKET_BYTES", 40)
    small = [torch.zeros(4) for _ in range(5)]
    large = torch.zeros(100)
    double = torch.zeros(1, dtype=torch.float64)
    found = _buckets([*small, large, double])
    assert [len(bucket) for bucket in found] == [2, 2, 1, 1, 1]
