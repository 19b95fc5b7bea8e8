"""Curating in one process: rows in, train and validation rows and the receipt out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from training.data.curation.contamination import Questions
from training.data.curation.deciding import decide
from training.data.curation.frames import Opening, frame_of, opening_words
from training.data.curation.lengths import TokenCount
from training.data.curation.marking import Mark, Marker, MarkerPlan
from training.data.curation.receipt import Receipt
from training.data.records import digest
from training.data.rows import Row
from training.data.settings import CurationSettings
from training.examples import Example

__all__ = ["Curated", "curate", "plan_marking"]


@dataclass(frozen=True, slots=True)
class Curated:
    """A dataset, ready to be trained on."""

    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    receipt: Receipt


def curate(
    rows: Iterable[Row],
    settings: CurationSettings | None = None,
    *,
    evaluation: Sequence[Example] = (),
    count: TokenCount | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Curated:
    """Run all stages that the settings ask for; rows stay in their order.

    `evaluation`: the set that rows must not give away. `count`: tokens of an example, where
    lengths are bounded in tokens. `progress` hears how many rows have been judged. Equal input,
    settings and library versions give equal rows and receipts. Raises CurationError where a stage
    cannot run, or two rows have one line.
    """
    rows = list(rows)
    openings = ((digest(row.example), opening_words(row.example)) for row in rows)
    plan = plan_marking(openings, settings or CurationSettings(), evaluation, count)
    marker = Marker(plan)
    marks: list[Mark] = []
    examples: dict[int, Example] = {}
    for done, row in enumerate(rows, start=1):
        examples[row.line], mark = marker.mark(row)
        marks.append(mark)
        progress(done)
    decision = decide(marks, plan, marker.stages)
    metadata = {row.line: row.metadata for row in rows}
    return Curated(
        train=tuple(Row(line, examples[line], metadata[line]) for line in decision.train),
        validation=tuple(Row(line, examples[line], metadata[line]) for line in decision.validation),
        receipt=decision.receipt,
    )


def plan_marking(
    openings: Iterable[Opening],
    settings: CurationSettings,
    evaluation: Sequence[Example],
    count: TokenCount | None,
) -> MarkerPlan:
    """What judging one row needs to know of all of them, and of the evaluation set."""
    questions = None
    if settings.decontamination is not None and evaluation:
        questions = Questions.of(evaluation, settings.decontamination)
    return MarkerPlan(settings, frame_of(openings), questions, count)
