"""Cosine, BERTScore and perplexity against what they are made of."""

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.models import ensure_model
from cluster.settings import load_settings
from deployments.errors import Unprocessable
from deployments.evaluation.cases import Case, Sample
from deployments.evaluation.metrics import similarity
from deployments.evaluation.metrics.hf import NO_TOOLS
from deployments.evaluation.metrics.metric import MetricInput
from tests.fakes.embedder import MiniLmEmbedder
from tests.fixtures.answers import ANSWER_PAIRS, MiniLmVectors, score, text_inputs

SAID = [said for said, _ in ANSWER_PAIRS]
WANTED = [wanted for _, wanted in ANSWER_PAIRS]
PARTS = ("precision", "recall", "f1")


@pytest.fixture(scope="module")
def encoder() -> Path:
    settings = load_settings()
    return ensure_model(settings.embedding.source, settings.cache_dir)


async def test_cosine_is_numpys(minilm: MiniLmEmbedder) -> None:
    tools = replace(NO_TOOLS, embedder=MiniLmVectors(minilm))
    scores = await score("cosine", text_inputs(SAID, WANTED), tools)
    texts = [*SAID, *WANTED]
    vectors = dict(zip(texts, np.array((await minilm.embed(texts)).vectors), strict=True))
    for (said, wanted), found in zip(ANSWER_PAIRS, scores, strict=True):
        if not said.strip() or not wanted.strip():
            assert found.value == float(said.strip() == wanted.strip())
            continue
        one, two = vectors[said], vectors[wanted]
        expected = one @ two / (np.linalg.norm(one) * np.linalg.norm(two))
        assert found.value == pytest.approx(expected, abs=1e-6)


async def test_cosine_asks_for_a_bounded_number_of_texts(minilm: MiniLmEmbedder) -> None:
    vectors = MiniLmVectors(minilm)
    texts = [f"text number {number}" for number in range(130)]
    scores = await score("cosine", text_inputs(texts, texts), replace(NO_TOOLS, embedder=vectors))
    assert [one.value for one in scores] == pytest.approx([1.0] * 130)
    assert vectors.largest == 128


async def test_cosine_takes_the_nearest_of_several_references(minilm: MiniLmEmbedder) -> None:
    tools = replace(NO_TOOLS, embedder=MiniLmVectors(minilm))
    inputs = text_inputs(
        ["a small dog", "x", "a small dog"], [["a car", "a puppy"], None, "a puppy"]
    )
    several, wrong, alone = await score("cosine", inputs, tools)
    assert several.value == pytest.approx(alone.value)
    assert wrong.value is None
    assert "must be a text" in wrong.detail["reason"]


def plain_bertscore(encoder: Path, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
    """bert_score's own, called plainly; its code for blank texts needs an older transformers."""
    import bert_score

    written = [(said, wanted) for said, wanted in pairs if said.strip() and wanted.strip()]
    parts = bert_score.score(
        [said for said, _ in written],
        [wanted for _, wanted in written],
        model_type=str(encoder),
        num_layers=6,
        device="cpu",
    )
    values = zip(*(part.tolist() for part in parts), strict=True)
    return [
        list(next(values)) if said.strip() and wanted.strip() else [0.0] * 3
        for said, wanted in pairs
    ]


async def test_bertscore_is_bert_scores(encoder: Path) -> None:
    tools = replace(NO_TOOLS, encoder=encoder)
    scores = await score("bertscore_f1", text_inputs(SAID, WANTED), tools)
    found = [[one.detail["precision"], one.detail["recall"], one.value] for one in scores]
    assert np.array(found) == pytest.approx(
        np.array(plain_bertscore(encoder, ANSWER_PAIRS)), abs=1e-6
    )


@pytest.mark.parametrize("part", PARTS)
async def test_each_part_of_bertscore_is_a_metric(encoder: Path, part: str) -> None:
    pairs = ANSWER_PAIRS[:40:4]
    tools = replace(NO_TOOLS, encoder=encoder)
    inputs = text_inputs(SAID[:40:4], WANTED[:40:4])
    scores = await score(f"bertscore_{part}", inputs, tools)
    expected = [parts[PARTS.index(part)] for parts in plain_bertscore(encoder, pairs)]
    assert [one.value for one in scores] == pytest.approx(expected, abs=1e-6)
    assert [set(one.detail) for one in scores] == [{*PARTS} - {part}] * len(pairs)


async def test_bertscore_takes_the_best_of_several_references(encoder: Path) -> None:
    tools = replace(NO_TOOLS, encoder=encoder)
    inputs = text_inputs(["a small dog"] * 2, [["the stock exchange", "a little dog"], 3.5])
    inputs += text_inputs(["a small dog", "a small dog"], ["a little dog", {}])
    several, number, alone, wrong = await score("bertscore_f1", inputs, tools)
    assert several.value == pytest.approx(alone.value, abs=1e-6)
    assert number.value is not None
    assert number.value < (alone.value or 0.0)
    assert wrong.value is None


async def test_bertscore_of_many_batches_at_once(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = replace(NO_TOOLS, encoder=encoder)
    inputs = text_inputs(SAID[-20:], WANTED[-20:])
    alone = [one.value for one in await score("bertscore_f1", inputs, tools)]
    monkeypatch.setattr(similarity, "_BERT_PAIRS", 6)
    at_once = await asyncio.gather(*(score("bertscore_f1", inputs, tools) for _ in range(3)))
    for scores in at_once:
        assert [one.value for one in scores] == pytest.approx(alone, abs=1e-6)


def test_an_encoder_without_a_limit_is_held_to_its_positions(encoder: Path, tmp_path: Path) -> None:
    for file in encoder.iterdir():
        if file.is_file() and file.name != "tokenizer_config.json":
            (tmp_path / file.name).symlink_to(file)
    config = json.loads((encoder / "tokenizer_config.json").read_text())
    del config["model_max_length"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    inputs = text_inputs(["word " * 900], ["word " * 900])
    tools = replace(NO_TOOLS, encoder=tmp_path)
    (found,) = asyncio.run(score("bertscore_f1", inputs, tools))
    assert found.value == pytest.approx(1.0, abs=1e-5)


async def test_bertscore_without_a_local_encoder_is_refused() -> None:
    with pytest.raises(Unprocessable, match="bertscore_recall needs an encoder"):
        await score("bertscore_recall", text_inputs(["a"], ["a"]))


def answered(log_probabilities: Sequence[float]) -> MetricInput:
    return MetricInput("", None, Case(1, {}, Sample("", log_probabilities=log_probabilities)))


async def test_perplexity_is_exp_of_the_mean_surprise() -> None:
    found = np.random.default_rng(4).exponential(2.0, size=(40, 17)) * -1
    scores = await score("perplexity", [answered(row.tolist()) for row in found])
    assert [one.value for one in scores] == pytest.approx(
        np.exp(-found.mean(axis=1)).tolist(), rel=1e-9
    )


async def test_a_model_that_knows_nothing_has_the_vocabularys_size_as_perplexity() -> None:
    (found,) = await score("perplexity", [answered([-math.log(49152)] * 9)])
    assert found.value == pytest.approx(49152)


@pytest.mark.parametrize("log_probabilities", [[], [-math.inf, -1.0], [-9999.0], [math.nan]])
async def test_what_has_no_perplexity_is_told(log_probabilities: list[float]) -> None:
    (found,) = await score("perplexity", [answered(log_probabilities)])
    assert found.value is None
    assert found.detail["reason"]


async def test_an_item_with_its_own_answer_has_no_perplexity() -> None:
    (found,) = await score("perplexity", [MetricInput("an answer", None, Case(1, {}))])
    assert found.value is None
