"""Layers by the names of their weights."""

from pathlib import Path

from deployments.model.block_layers import block_layers
from tests.training.tiny import tiny_folder


def test_the_linear_layers_of_the_blocks_are_found_without_embedding_and_norms(
    tmp_path: Path,
) -> None:
    assert block_layers(tiny_folder(tmp_path, tie_word_embeddings=False)) == [
        "down_proj",
        "gate_proj",
        "k_proj",
        "o_proj",
        "q_proj",
        "up_proj",
        "v_proj",
    ]


def test_a_folder_without_safetensors_tells_nothing(tmp_path: Path) -> None:
    assert block_layers(tmp_path) is None
