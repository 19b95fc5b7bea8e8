"""What each guard finds, what it takes for something else, and what it costs.

    python -m tests.benchmarks.guards [--similarity]

Precision, recall and F1 on texts that ship with the tests (`tests/data/guards/`), for the part that
rules were written with and for the part that was held out; then the milliseconds that a guard adds
to a text of 1,200 characters (toxicity: 300), at the median and the 95th percentile, and what the
default pipeline adds to a question, to four passages and to an answer. No judge is asked.
Injections and jailbreaks are looked for by rules alone, and by rules with the recogniser. With
`--similarity` suspicious sentences are then compared with known attacks by the packaged embedding
model.

The held-out part was written by who wrote the rules and the recogniser's examples, to be unlike
both; weights were not chosen by it. The strangers' parts were written by people who had seen
neither guards nor texts. What the recogniser finds of families of attacks that it never
saw says `python -m deployments.guards.recogniser.training --left-out`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

from cluster.sections.guards import GuardPolicy, GuardsSettings
from deployments.guards.book import GuardBook
from deployments.guards.pipeline import Guards
from deployments.guards.stream import OutputScreen
from deployments.guards.verdict import GuardText, Place
from deployments.ports import EmbeddedTexts, TextEmbedder
from tests.benchmarks.fact_check import claims_table
from tests.benchmarks.reporting import percentile, report
from tests.data.labelled_guards import GUARDS, Labelled, labelled
from tests.fakes.parts import FakeEmbedder

_TIMES: Final = 200
_RECOGNISED: Final = ("injection", "jailbreak")
_PASSAGE: Final = (
    "Parental leave lasts fourteen weeks from 2021 on, see section 4.2 of the handbook. It is paid "
    "by the insurance fund, and the form 12-33 is to be handed in ten days before it begins. "
) * 7
_QUESTION: Final = "How long does parental leave last, and who pays for it?"
_COLUMNS: Final = ("guard", "part", "texts", "precision", "recall", "F1", "p50 ms", "p95 ms")


class PackagedEmbedder:
    """The packaged embedding model, in this process."""

    def __init__(self) -> None:
        from sentence_transformers import SentenceTransformer

        from cluster.models import ensure_model
        from cluster.settings import load_settings

        folder = ensure_model("packaged:all-minilm-l6-v2", load_settings().cache_dir)
        self._model = SentenceTransformer(str(folder), device="cpu")

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        """See TextEmbedder."""
        del priority
        vectors = self._model.encode(list(texts), normalize_embeddings=True)
        return EmbeddedTexts(vectors.tolist(), [0] * len(texts))

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """See TextEmbedder; guards do not ask for it."""
        raise NotImplementedError


def measured_guards(
    guard: str, embedder: TextEmbedder, *, similarity: bool, recogniser: bool = True
) -> Guards:
    """One guard alone, on wherever it can be."""
    looks = ("input", "passages", "output")
    fields = GuardPolicy.model_fields[guard].annotation.model_fields  # type: ignore[union-attr]
    values: dict[str, Any] = {place: "flag" for place in looks if place in fields}
    if "similarity" in fields:
        values |= {"similarity": similarity, "recogniser": recogniser}
    off = {
        name: {place: "off" for place in looks if place in field.annotation.model_fields}  # type: ignore[union-attr]
        for name, field in GuardPolicy.model_fields.items()
    }
    values["budget_ms"] = 10_000
    settings = GuardsSettings.model_validate({**off, guard: values})
    return GuardBook(settings, embedder=embedder, models={}).of("")


async def judged(guards: Guards, rows: Sequence[Labelled]) -> list[bool]:
    """Whether the guard acts on each text."""
    found = []
    for row in rows:
        screened = await guards.screen(row.place, [GuardText(row.text)])
        found.append(any(verdict.action != "pass" for verdict in screened.verdicts))
    return found


def figures(rows: Sequence[Labelled], acted: Sequence[bool]) -> tuple[float, float, float]:
    """Precision, recall and F1; 0 where there is nothing to divide by."""
    right = sum(row.label and hit for row, hit in zip(rows, acted, strict=True))
    precision = right / max(1, sum(acted))
    recall = right / max(1, sum(row.label for row in rows))
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


async def _timed(guards: Guards, place: Place, texts: Sequence[str]) -> tuple[float, float]:
    taken = []
    for number in range(_TIMES):
        given = [GuardText(f"{text} {number}") for text in texts]  # no text is met twice
        started = time.perf_counter()
        await guards.screen(place, given)
        taken.append((time.perf_counter() - started) * 1000)
    return percentile(taken, 0.5), percentile(taken, 0.95)


async def _streamed(guards: Guards) -> tuple[float, float]:
    """An answer of 1,200 characters in pieces of a word: the sum over its pieces."""
    words = _PASSAGE.split(" ")
    taken = []
    for _ in range(20):
        screen, spent = OutputScreen(guards), 0.0
        for word in words:
            started = time.perf_counter()
            await screen.feed(f"{word} ")
            spent += time.perf_counter() - started
        started = time.perf_counter()
        await screen.finish()
        taken.append((spent + time.perf_counter() - started) * 1000)
    return percentile(taken, 0.5), percentile(taken, 0.95)


async def _rows(similarity: bool) -> list[tuple[Any, ...]]:
    embedder: TextEmbedder = PackagedEmbedder() if similarity else FakeEmbedder()
    table: list[tuple[Any, ...]] = []
    variants = [(guard, False) for guard in GUARDS] + [(guard, True) for guard in _RECOGNISED]
    for guard, rules_only in variants:
        guards = measured_guards(
            guard,
            embedder,
            similarity=similarity and not rules_only,
            recogniser=not rules_only,
        )
        name = f"{guard}, rules only" if rules_only else guard
        await guards.warm_up()
        place: Place = labelled(guard)[0].place
        cost = await _timed(guards, place, [_PASSAGE[:300] if guard == "toxicity" else _PASSAGE])
        for part in ("tuning", "held_out", "stranger", "second_stranger"):
            rows = labelled(guard, part)
            if rows:
                acted = await judged(guards, rows)
                table.append((name, part, len(rows), *figures(rows, acted), *cost))
    table += await claims_table(embedder if similarity else None)
    default = GuardBook(GuardsSettings(), embedder=embedder, models={}).of("")
    await default.warm_up()
    for name, cost in (
        ("all, on a question", await _timed(default, "input", [_QUESTION])),
        (
            "all, on four passages",
            await _timed(default, "passages", [f"{_PASSAGE} {part}" for part in "abcd"]),
        ),
        ("all, on a streamed answer", await _streamed(default)),
    ):
        table.append((name, "", "", "", "", "", *cost))
    return table


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--similarity", action="store_true")
    options = parser.parse_args()
    rows = asyncio.run(_rows(options.similarity))
    title = f"Guards without a judge, {'with' if options.similarity else 'without'} similarity"
    report("guards", title, _COLUMNS, rows, similarity=options.similarity)
    return 0


if __name__ == "__main__":
    sys.exit(main())
