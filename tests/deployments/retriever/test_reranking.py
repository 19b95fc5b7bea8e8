"""Rerankers: a tiny cross-encoder made here, and the late interaction's shell."""

from pathlib import Path

import pytest

from cluster.errors import ModelSourceError
from deployments.retriever.reranking import CrossEncoderReranker, LateInteractionReranker

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "wing", "heat", "in", "a", "slipstream"]


def tiny_cross_encoder(folder: Path, labels: int) -> Path:
    """A sequence classifier with random weights, as transformers saves one."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(0)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        num_labels=labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("labels", [1, 2])
async def test_a_cross_encoder_scores_each_pair_on_its_own(tmp_path: Path, labels: int) -> None:
    reranker = CrossEncoderReranker(tiny_cross_encoder(tmp_path / "model", labels))
    documents = ["a wing", "heat", "wing in a slipstream " * 30, *["a wing in heat"] * 9]
    together = await reranker.score("wing", documents)
    alone = [(await reranker.score("wing", [document]))[0] for document in documents]
    assert together == pytest.approx(alone, abs=1e-5)
    assert all(0 < score < 1 for score in together)
    assert len(set(together[:3])) == 3


async def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    reranker = CrossEncoderReranker(tmp_path)
    with pytest.raises(ModelSourceError, match=str(tmp_path)):
        await reranker.score("wing", ["heat"])


async def test_nothing_to_rerank_asks_nobody() -> None:
    async def late_interaction(query: str, documents: list[str]) -> list[float]:
        raise AssertionError("asked")

    assert await LateInteractionReranker(late_interaction).score("wing", []) == []
