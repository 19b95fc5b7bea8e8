"""What grounding costs before and after the model, and how often it refuses rightly.

    python -m tests.benchmarks.grounding_stages --cranfield DIR --banking77 DIR

`--cranfield` holds corpus.jsonl and queries.jsonl (BEIR's form), `--banking77` a test.csv. Prints
two tables and writes `tests/benchmarks/results/grounding_stages.json`:

- refusals: Cranfield's questions on Cranfield should be answered, BANKING77's (a bank's customers)
  should not, over the threshold on the cosine; the embedding model is the packaged MiniLM;
- stages: milliseconds of deciding, packing and rendering before the model starts, and of
  attributing a sentence behind it, each the median over questions.
"""

import argparse
import asyncio
import csv
import functools
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from cluster.models import ensure_model
from cluster.settings import load_settings
from deployments.gateway.grounding.attribution import Attributor
from deployments.gateway.grounding.highlights import highlights
from deployments.gateway.grounding.packing import pack
from deployments.gateway.grounding.support import SupportThresholds, decide_support
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.grounding.windows import SourcePassage
from deployments.prompts import PromptLibrary
from deployments.retriever.messages import RetrievedPassage
from ingestion.sentences import sentence_spans
from tests.fakes.chat import passage
from tests.fakes.embedder import MiniLmEmbedder

RESULTS: Final = Path(__file__).parent / "results" / "grounding_stages.json"
SIMILARITIES: Final = (0.0, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50)
FOUND: Final = 4
STAGE_QUESTIONS: Final = 50


def main() -> None:
    """Run both measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cranfield", type=Path, required=True)
    parser.add_argument("--banking77", type=Path, required=True)
    parser.add_argument("--off-topic", type=int, default=500, help="BANKING77 questions to ask")
    arguments = parser.parse_args()
    settings = load_settings()
    folder = ensure_model("packaged:all-minilm-l6-v2", settings.cache_dir)
    embedder = MiniLmEmbedder(folder)
    texts = [row["text"] for row in _jsonl(arguments.cranfield / "corpus.jsonl")]
    questions = [row["text"] for row in _jsonl(arguments.cranfield / "queries.jsonl")]
    with (arguments.banking77 / "test.csv").open(newline="") as file:
        strangers = [row["text"] for row in csv.DictReader(file)]
    strangers = random.Random(0).sample(strangers, arguments.off_topic)

    vectors = _embed(embedder, texts)
    known = _search(embedder, questions, texts, vectors)
    unknown = _search(embedder, strangers, texts, vectors)
    coverage = settings.grounding.min_term_coverage
    curve = refusals(known, unknown, coverage)
    counter = TokenCounter(folder)
    stages = asyncio.run(stage_times(known[:STAGE_QUESTIONS], counter, embedder))
    _print(curve, stages, settings.grounding.min_similarity)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"refusals": curve, "stages_ms": stages}, indent=1))


Asked = tuple[str, list[RetrievedPassage]]


def refusals(known: list[Asked], unknown: list[Asked], coverage: float) -> list[dict[str, float]]:
    """Share of questions refused wrongly and answered wrongly, over the threshold."""
    rows = []
    for similarity in SIMILARITIES:
        thresholds = SupportThresholds(similarity, coverage)
        rows.append(
            {
                "min_similarity": similarity,
                "false_refusals": _share(known, thresholds, supported=False),
                "off_topic_answered": _share(unknown, thresholds, supported=True),
            }
        )
    return rows


async def stage_times(
    asked: list[Asked], counter: TokenCounter, embedder: MiniLmEmbedder
) -> dict[str, float]:
    """Median milliseconds of each stage."""
    prompt = PromptLibrary().get("grounded_answer")
    times: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[..., Any], *values: Any) -> Any:
        started = time.perf_counter()
        result = work(*values)
        times.setdefault(stage, []).append((time.perf_counter() - started) * 1000)
        return result

    for question, found in asked:
        timed("decide", decide_support, question, found, SupportThresholds())
        packing = timed("pack", pack, found, counter, 900, FOUND)
        used = [{"number": p.number, "text": p.text, "source": "x"} for p in packing.used]
        texts = [used_passage.text for used_passage in packing.used]
        best = timed("highlights", highlights, question, texts, 2)
        values = {"passages": used, "question": question, "instructions": "", "highlights": best}
        chosen = {name: values[name] for name in prompt.variables}
        timed("render", functools.partial(prompt.render, **chosen))
        sources = [SourcePassage(i, p.text) for i, p in enumerate(packing.used)]
        attributor = Attributor(sources, embedder)
        timed("warm_up", attributor.warm_up)
        start, end = sentence_spans(found[0].text)[0]
        for stage, sentence in (
            ("attribute_verbatim", found[0].text[start:end]),
            ("attribute_similarity", _reworded(found[0].text[start:end])),
        ):
            started = time.perf_counter()
            await attributor.attribute(sentence)
            times.setdefault(stage, []).append((time.perf_counter() - started) * 1000)
    return {stage: round(statistics.median(values), 2) for stage, values in times.items()}


def _reworded(sentence: str) -> str:
    """Drop every third word and add one that is not there, as a paraphrase would look."""
    words = [word for index, word in enumerate(sentence.split()) if index % 3]
    return " ".join([*words[:12], "roughly", "speaking"])


def _share(asked: list[Asked], thresholds: SupportThresholds, *, supported: bool) -> float:
    decisions = [decide_support(question, found, thresholds) for question, found in asked]
    return round(sum(d.supported is supported for d in decisions) / len(decisions), 4)


def _search(
    embedder: MiniLmEmbedder, questions: list[str], texts: list[str], vectors: Any
) -> list[Asked]:
    scores = _embed(embedder, questions) @ vectors.T
    asked: list[Asked] = []
    for question, row in zip(questions, scores, strict=True):
        best = np.argsort(-row)[:FOUND]
        found = [
            passage(texts[i], number=n, similarity=float(row[i])) for n, i in enumerate(best, 1)
        ]
        asked.append((question, found))
    return asked


def _embed(embedder: MiniLmEmbedder, texts: list[str]) -> Any:
    return np.asarray(asyncio.run(embedder.embed(texts)).vectors)


def _jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def _print(curve: list[dict[str, float]], stages: dict[str, float], chosen: float) -> None:
    console = Console()
    table = Table("min_similarity", "false refusals", "off-topic answered", title="Refusals")
    for row in curve:
        mark = "  ← default" if row["min_similarity"] == chosen else ""
        table.add_row(
            f"{row['min_similarity']:.2f}{mark}",
            f"{row['false_refusals']:.1%}",
            f"{row['off_topic_answered']:.1%}",
        )
    console.print(table)
    table = Table("stage", "median ms", title="Stages")
    for stage, milliseconds in stages.items():
        table.add_row(stage, f"{milliseconds:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
