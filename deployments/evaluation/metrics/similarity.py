"""How near an answer is to its reference in meaning, and how probable its model found it."""

import asyncio
import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from deployments.errors import Unprocessable
from deployments.evaluation.cases import Score
from deployments.evaluation.metrics.metric import Metric, MetricInput, Scorer
from deployments.evaluation.metrics.scoring import (
    Judge,
    NotApplicable,
    one_by_one,
    reference_texts,
)
from deployments.evaluation.toolbox import Toolbox

__all__ = ["SIMILARITY_METRICS"]

_EMBED_TEXTS: Final = 128
"""Texts per request to the Embedder, which live queries overtake between two."""
_BERT_PAIRS: Final = 256
"""Pairs whose token vectors are in memory at once: 400 MB where all texts are of full length."""
_BATCH: Final = 32
_PARTS: Final = ("precision", "recall", "f1")
_encoding = threading.Lock()
"""One thread at a time: a tokenizer that truncates is changed while it runs."""


async def _cosine(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    del options
    pairs, reasons = _pairs(inputs)
    texts = sorted({text for pair in pairs for text in pair if text.strip()})
    vectors: dict[str, list[float]] = {}
    for start in range(0, len(texts), _EMBED_TEXTS):
        part = texts[start : start + _EMBED_TEXTS]
        vectors.update(zip(part, await tools.embedder.vectors(part), strict=True))
    values = [_one_cosine(vectors.get(said), vectors.get(wanted)) for said, wanted in pairs]
    return _best(inputs, [{"cosine": value} for value in values], "cosine", reasons)


def _one_cosine(said: Sequence[float] | None, wanted: Sequence[float] | None) -> float:
    """Of two unit vectors. A blank text has none: it equals another, and resembles nothing else."""
    if said is None or wanted is None:
        return float(said is wanted)
    return max(-1.0, min(1.0, math.fsum(a * b for a, b in zip(said, wanted, strict=True))))


def _bertscore(part: str) -> Scorer:
    async def score(
        inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
    ) -> list[Score]:
        del options
        if tools.encoder is None:
            raise Unprocessable(
                f"bertscore_{part} needs an encoder in a local folder, and this Everloop's "
                "embedding model is none.",
                param="metric",
            )
        pairs, reasons = _pairs(inputs)
        parts = await asyncio.to_thread(_bert_scores, tools.encoder, pairs)
        return _best(inputs, parts, part, reasons)

    return score


def _pairs(inputs: Sequence[MetricInput]) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """Prediction and reference, once for each reference; and why an input has none."""
    pairs, reasons = [], {}
    for number, answer in enumerate(inputs):
        try:
            pairs += [(answer.prediction, text) for text in reference_texts(answer.reference)]
        except NotApplicable as unscored:
            reasons[number] = unscored.message
    return pairs, reasons


def _best(
    inputs: Sequence[MetricInput],
    found: Sequence[Mapping[str, float]],
    part: str,
    reasons: Mapping[int, str],
) -> list[Score]:
    """Give each input the best of its references, each part by itself."""
    rest, scores = iter(found), []
    for number, answer in enumerate(inputs):
        if number in reasons:
            scores.append(Score(None, detail={"reason": reasons[number]}))
            continue
        own = [next(rest) for _ in reference_texts(answer.reference)]
        detail = {name: max(one[name] for one in own) for name in own[0]}
        value = detail.pop(part)
        scores.append(Score(value, detail=detail))
    return scores


def _bert_scores(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[dict[str, float]]:
    """Precision, recall and F1 (Zhang et al. 2020) by the last layer, without idf weights.

    A pair with a blank text has 0 of each, as bert_score says; its own code for that no longer
    runs under transformers 5.
    """
    written = [pair for pair in pairs if pair[0].strip() and pair[1].strip()]
    values = iter(_greedy_matches(folder, written))
    nothing = dict.fromkeys(_PARTS, 0.0)
    return [
        dict(zip(_PARTS, next(values), strict=True))
        if said.strip() and wanted.strip()
        else dict(nothing)
        for said, wanted in pairs
    ]


def _greedy_matches(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
    from bert_score.utils import bert_cos_score_idf

    values: list[list[float]] = []
    for start in range(0, len(pairs), _BERT_PAIRS):
        predictions, references = map(list, zip(*pairs[start : start + _BERT_PAIRS], strict=True))
        with _encoding:
            tokenizer, model = _encoder(folder)
            weights: defaultdict[int, float] = defaultdict(lambda: 1.0)
            weights[tokenizer.sep_token_id] = weights[tokenizer.cls_token_id] = 0
            found = bert_cos_score_idf(
                model, references, predictions, tokenizer, weights, device="cpu", batch_size=_BATCH
            )
        values += found.tolist()
    return values


@lru_cache(maxsize=1)
def _encoder(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model. One pair stays loaded: a cluster has one embedding model."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Without a limit of its own a tokenizer lets more through than the model has positions for.
    tokenizer.model_max_length = min(
        tokenizer.model_max_length, model.config.max_position_embeddings
    )
    return tokenizer, model


def _perplexity(_options: Mapping[str, Any]) -> Judge:
    def judge(answer: MetricInput) -> Score:
        sample = answer.case.sample
        found = sample.log_probabilities if sample else ()
        if not found:
            raise NotApplicable("The answer has no log-probabilities; ask for them with it.")
        mean = math.fsum(found) / len(found)
        try:
            value = math.exp(-mean)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise NotApplicable(f"A mean log-probability of {mean:g} has no perplexity.")
        return Score(value, detail={"tokens": len(found), "mean_log_probability": mean})

    return judge


SIMILARITY_METRICS: Final = (
    Metric(
        "cosine",
        "Cosine of the vectors that the embedding model gives answer and reference.",
        _cosine,
        reference="texts",
    ),
    *(
        Metric(
            f"bertscore_{part}",
            f"BERTScore's {part}: greedy matches of token vectors of the local encoder's last "
            "layer (package bert-score; Zhang et al. 2020).",
            _bertscore(part),
            reference="texts",
        )
        for part in _PARTS
    ),
    Metric(
        "perplexity",
        "exp of minus the mean log-probability of the answer's tokens, by the model that gave it.",
        one_by_one(_perplexity),
        higher_is_better=False,
    ),
)
