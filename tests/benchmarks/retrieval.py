"""Search quality and latency of a running Everloop, through the `openai` client.

    python -m tests.benchmarks.retrieval --data ../shared/data/cranfield [--base-url …]

Quality: the Cranfield collection (1,400 abstracts, 225 queries, graded judgments) is uploaded as
one file each; nDCG@10 through `vector_stores.search` for dense, BM25, hybrid and reranked. Bar:
hybrid, the default, at least 0.42.

Latency: 20,000 passages are written into a store of this system (its settings must be this
process's too); p50 of hybrid searches over HTTP, embedding the query included. Bar: 60 ms. They are
the abstracts' sentences in new orders, with the vectors of the abstracts and a little noise: what a
search costs depends on their number, not on what they say.
"""

import argparse
import io
import json
import math
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import openai

from cluster.client import key_for
from cluster.database import Database
from cluster.ids import content_id, new_id
from cluster.models import ensure_model
from cluster.records import VectorStoreFile
from cluster.settings import Settings, load_settings
from ingestion.embedding import EmbeddingModel
from ingestion.index import PassageIndex, collection_name
from ingestion.passages import Chunk, EmbeddedPassage
from ingestion.sentences import sentence_spans
from tests.benchmarks.reporting import median, percentile, report

CUTOFF: Final = 10
PASSAGES: Final = 20_000
SEARCHES: Final = 200
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "dense": {"mode": "dense"},
    "bm25": {"mode": "bm25"},
    "hybrid (default)": {},
    "hybrid, rrf": {"fusion": "rrf"},
    "hybrid, weighted": {"fusion": "weighted"},
    "hybrid, reranked": {"rerank": True},
}


def main() -> None:
    """Run both parts, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cranfield"))
    parser.add_argument("--base-url", default=load_settings().base_url)
    parser.add_argument("--only", choices=("quality", "latency"))
    arguments = parser.parse_args()
    url = arguments.base_url
    client = openai.OpenAI(base_url=url, api_key=key_for(url) or "none", timeout=120)
    corpus = _jsonl(arguments.data / "corpus.jsonl")
    queries = _jsonl(arguments.data / "queries.jsonl")
    if arguments.only != "latency":
        quality(client, corpus, queries, _judgments(arguments.data / "qrels.tsv"))
    if arguments.only != "quality":
        latency(client, corpus, queries)


def quality(
    client: openai.OpenAI,
    corpus: list[dict[str, str]],
    queries: list[dict[str, str]],
    judgments: dict[str, dict[str, int]],
) -> None:
    """Upload, search in each way, report nDCG@10."""
    store = client.vector_stores.create(name="benchmark-cranfield")
    try:
        started = time.perf_counter()
        _upload(client, store.id, corpus)
        print(f"{len(corpus)} abstracts in {time.perf_counter() - started:.0f} s", flush=True)
        rows = []
        for name, options in VARIANTS.items():
            times, scores = [], []
            for query in queries:
                began = time.perf_counter()
                ranked = _search(client, store.id, query["text"], options)
                times.append((time.perf_counter() - began) * 1000)
                scores.append(ndcg(ranked, judgments[query["_id"]]))
            rows.append((name, sum(scores) / len(scores), median(times)))
            print(*rows[-1], flush=True)
        report(
            "retrieval_quality",
            f"Cranfield, {len(queries)} queries (bar: hybrid ≥ 0.42)",
            ("search", "nDCG@10", "p50 ms"),
            rows,
        )
    finally:
        client.vector_stores.delete(store.id)


def _upload(client: openai.OpenAI, store: str, corpus: list[dict[str, str]]) -> None:
    files = []
    for row in corpus:
        data = (row["text"] or row["title"] or "empty").encode()
        made = client.files.create(
            file=(f"{row['_id']}.txt", io.BytesIO(data)), purpose="assistants"
        )
        files.append(made.id)
    for start in range(0, len(files), 500):
        client.vector_stores.file_batches.create(store, file_ids=files[start : start + 500])
    while (counts := client.vector_stores.retrieve(store).file_counts).in_progress:
        print(f"\r{counts.completed}/{counts.total}", end="", flush=True)
        time.sleep(1)
    print(f"\r{counts.completed} completed, {counts.failed} failed")


def _search(client: openai.OpenAI, store: str, query: str, options: dict[str, Any]) -> list[str]:
    """Document ids, best passage first, each once."""
    found = client.vector_stores.search(
        store, query=query, max_num_results=20, extra_body=options
    ).data
    return list(dict.fromkeys(Path(hit.filename).stem for hit in found))[:CUTOFF]


def ndcg(ranked: list[str], judged: dict[str, int]) -> float:
    """nDCG@10 with the judged grade as gain (trec_eval's `ndcg_cut_10`)."""
    gained = sum(judged.get(key, 0) / math.log2(rank + 2) for rank, key in enumerate(ranked))
    ideal = sorted((grade for grade in judged.values() if grade > 0), reverse=True)[:CUTOFF]
    best = sum(grade / math.log2(rank + 2) for rank, grade in enumerate(ideal))
    return gained / best if best else 0.0


def latency(
    client: openai.OpenAI, corpus: list[dict[str, str]], queries: list[dict[str, str]]
) -> None:
    """Write 20,000 passages, search, report percentiles."""
    settings = load_settings()
    store = client.vector_stores.create(name="benchmark-latency")
    try:
        _write(settings, store.id, corpus)
        rows = []
        for mode in ("dense", "bm25", "hybrid"):
            times = []
            for number in range(SEARCHES + 20):
                query = queries[number % len(queries)]["text"]
                began = time.perf_counter()
                client.vector_stores.search(
                    store.id, query=query, max_num_results=10, extra_body={"mode": mode}
                )
                times.append((time.perf_counter() - began) * 1000)
            times = times[20:]
            rows.append((mode, median(times), percentile(times, 0.95)))
        report(
            "search_latency",
            f"{PASSAGES} passages, over HTTP, one search at a time (bar: hybrid p50 ≤ 60 ms)",
            ("search", "p50 ms", "p95 ms"),
            rows,
        )
    finally:
        client.vector_stores.delete(store.id)


def _write(settings: Settings, store: str, corpus: list[dict[str, str]]) -> None:
    chance = random.Random(7)
    noise = np.random.default_rng(7)
    model = EmbeddingModel(ensure_model(settings.embedding.source, settings.cache_dir))
    texts = [row["text"] for row in corpus if row["text"]][:500]
    vectors, _ = model.encode(texts)
    index = PassageIndex(
        settings.milvus_uri,
        collection_name(settings.embedding.id, model.dimension),
        model.dimension,
        token=settings.milvus.token,
    )
    database = Database(settings.database_url, pool_size=1)
    file_id = new_id("file")
    with database.session() as session:
        row = VectorStoreFile(
            store_id=store,
            file_id=file_id,
            document_key="benchmark",
            filename="benchmark.txt",
            stage="completed",
            live=True,
            passages=PASSAGES,
            language="en",
        )
        session.add(row)
        session.flush()
        number = row.number
    for start in range(0, PASSAGES, 1000):
        batch = []
        for ordinal in range(start, start + 1000):
            source = ordinal % len(texts)
            sentences = [texts[source][a:b] for a, b in sentence_spans(texts[source])]
            chance.shuffle(sentences)
            text = " ".join(sentences)[:1200]
            vector = vectors[source] + noise.normal(0, 0.02, model.dimension)
            vector /= np.linalg.norm(vector)
            chunk = Chunk(ordinal, text, 0, len(text), len(text) // 4)
            key = content_id("psg", store, str(number), str(ordinal))
            batch.append(
                EmbeddedPassage(key, "proj_default", store, number, file_id, chunk, vector.tolist())
            )
        index.upsert(batch)
        print(f"\r{start + 1000}/{PASSAGES}", end="", flush=True)
    index.settle()
    print()


def _jsonl(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def _judgments(path: Path) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged[query][document] = int(grade)
    return judged


if __name__ == "__main__":
    main()
