"""The Embedder over the packaged MiniLM."""

import asyncio

import numpy as np
import pytest

from cluster.models import ensure_model
from cluster.settings import load_settings
from deployments.embedder.embedder import Embedder
from deployments.errors import InvalidRequest
from ingestion.embedding import EmbeddingModel, batches, joined

LONG = " ".join(f"wing number {n} was tested in the slipstream." for n in range(60))


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    """The packaged embedding model."""
    folder = ensure_model("packaged:all-minilm-l6-v2", load_settings().cache_dir)
    return EmbeddingModel(folder, threads=2)


@pytest.fixture
def embedder(model: EmbeddingModel) -> Embedder:
    """An Embedder with small batches."""
    return Embedder(model, batch_tokens=256, max_queued_texts=100)


def test_vectors_are_sentence_transformers_own(model: EmbeddingModel) -> None:
    texts = ["a wing in a slipstream", "heat", "", "shear flow past a flat plate " * 10]
    expected = model._model.encode(texts, normalize_embeddings=True)
    vectors, tokens = model.encode(texts, batch_tokens=64)
    assert np.abs(vectors - expected).max() < 1e-5
    assert tokens[1:3] == [1, 0]


def test_a_text_longer_than_the_window_counts_to_its_end(model: EmbeddingModel) -> None:
    split = model.windows([LONG, "short"])
    assert len(split[0]) > 1
    assert all(len(window) <= model.max_tokens for window in split[0])
    whole = model._tokenizer(LONG, add_special_tokens=False, verbose=False)["input_ids"]
    assert sum(window.tokens for window in split[0]) == len(whole)
    vectors, _ = model.encode([LONG, LONG + " The end speaks of glaciers and snow."])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_windows_are_averaged_by_tokens(model: EmbeddingModel) -> None:
    windows = model.windows([LONG])[0]
    vectors = np.stack([encoded.vector for encoded in model.forward(windows)])
    weights = np.array([window.tokens for window in windows])
    expected = (vectors * weights[:, None]).sum(axis=0)
    assert joined(vectors, windows) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_batches_hold_everything_once_within_their_bound(model: EmbeddingModel) -> None:
    windows = [w for part in model.windows([LONG, "a", "b c d", LONG[:300]]) for w in part]
    packed = list(batches(windows, 300))
    assert sorted(i for batch in packed for i in batch) == list(range(len(windows)))
    assert all(max(len(windows[i]) for i in b) * len(b) <= 300 for b in packed if len(b) > 1)


async def test_both_priorities_give_the_models_vectors(
    embedder: Embedder, model: EmbeddingModel
) -> None:
    texts = ["one", LONG, "two words"]
    expected, tokens = model.encode(texts)
    for result in (await embedder.embed(texts), await embedder.embed(texts, priority="bulk")):
        assert np.abs(np.array(result.vectors) - expected).max() < 1e-5
        assert result.tokens == tokens


async def test_a_query_does_not_wait_for_bulk_work(embedder: Embedder) -> None:
    bulk = asyncio.create_task(embedder.embed([LONG] * 12, priority="bulk"))
    async with asyncio.timeout(10):
        while not embedder.queued:  # noqa: ASYNC110 - the queue has no event
            await asyncio.sleep(0.005)
    await embedder.embed(["a query"])
    assert not bulk.done()
    await bulk


async def test_nothing_to_embed_is_no_error(embedder: Embedder) -> None:
    assert (await embedder.embed([])).vectors == []


async def test_late_interaction_prefers_what_covers_the_question(embedder: Embedder) -> None:
    relevant = "Aeroelastic models of heated aircraft obey similarity laws."
    scores = await embedder.late_interaction(
        "which similarity laws do aeroelastic models obey",
        ["A recipe for bread.", relevant, f"{LONG} {relevant}"],
    )
    assert all(0 <= score <= 1 for score in scores)
    assert scores[0] < scores[2] <= scores[1]


async def test_tokens_are_decoded_and_unknown_ones_refused(
    embedder: Embedder, model: EmbeddingModel
) -> None:
    ids = list(model.windows(["shear flow"])[0][0].ids)
    assert await embedder.decode([ids]) == ["shear flow"]
    with pytest.raises(InvalidRequest, match="99999999"):
        await embedder.decode([[99999999]])
