"""Curating on a cluster, as stages of Ray Data: the same rows and receipt as `curate`.

openings (what the frame is found from) → MarkRows in several workers → the driver decides over the
marks, which are about a kilobyte a row and hold no text → the rows of each side.

A row travels as `line` and `row`, its JSON.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final

from training.data.curation.deciding import decide
from training.data.curation.frames import SAMPLE, Opening, opening_words
from training.data.curation.lengths import TokenCount
from training.data.curation.marking import Mark, Marker, MarkerPlan, row_stages
from training.data.curation.pipeline import plan_marking
from training.data.curation.receipt import Receipt
from training.data.records import digest, dump_example, load_example
from training.data.rows import Row
from training.data.settings import CurationSettings
from training.examples import Example

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

__all__ = ["CuratedBulk", "curate_bulk", "dataset_of", "rows_of"]

_BATCH: Final = 256
_MARK: Final = tuple(field.name for field in fields(Mark))


@dataclass(frozen=True, slots=True)
class CuratedBulk:
    """Two datasets of `line` and `row`, in no order, and the receipt."""

    train: "Dataset"
    validation: "Dataset"
    receipt: Receipt


def dataset_of(rows: Iterable[Row]) -> "Dataset":
    """Rows as a dataset that `curate_bulk` takes."""
    import ray.data

    return ray.data.from_items(
        [{"line": row.line, "row": dump_example(row.example)} for row in rows]
    )


def rows_of(dataset: "Dataset") -> list[Row]:
    """All rows of a dataset, by line."""
    found = [Row(item["line"], load_example(item["row"])) for item in _items(dataset)]
    return sorted(found, key=lambda row: row.line)


def curate_bulk(
    dataset: "Dataset",
    settings: CurationSettings | None = None,
    *,
    evaluation: Sequence[Example] = (),
    count: TokenCount | None = None,
    workers: int = 1,
    cpus: float = 1.0,
) -> CuratedBulk:
    """As `curate`, over a dataset of `line` and `row`, judged by `workers` of `cpus` each.

    `count` is sent to the workers. Raises CurationError before a worker starts.
    """
    from ray.data import ActorPoolStrategy

    settings = settings or CurationSettings()
    plan = plan_marking(_openings(dataset), settings, evaluation, count)
    stages = tuple(stage.name for stage in row_stages(plan))
    marked = dataset.map_batches(
        MarkRows,
        fn_constructor_args=(plan,),
        compute=ActorPoolStrategy(size=workers),
        batch_size=_BATCH,
        batch_format="pyarrow",  # numpy would cut the zero bytes off the end of a hash
        num_cpus=cpus,
    ).materialize()
    decision = decide(_marks(marked), plan, stages)
    return CuratedBulk(
        train=_only(marked, decision.train),
        validation=_only(marked, decision.validation),
        receipt=decision.receipt,
    )


class MarkRows:
    """The stages that judge one row at a time, in a worker of Ray Data."""

    def __init__(self, plan: MarkerPlan) -> None:
        self._marker = Marker(plan)

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        """Columns `line` and `row` in; those and the columns of `Mark` out, `row` as it stays."""
        import pyarrow as pa

        rows, marks = [], []
        for item in batch.to_pylist():
            example, mark = self._marker.mark(Row(item["line"], load_example(item["row"])))
            rows.append(dump_example(example))
            marks.append(mark)
        columns = {name: [getattr(mark, name) for mark in marks] for name in _MARK}
        columns["found"] = [json.dumps(found) for found in columns["found"]]
        return pa.table({"row": rows, **columns})


def _openings(dataset: "Dataset") -> Iterator[Opening]:
    """Of every batch those that the frame's sample may hold."""

    def first(batch: "pa.Table") -> "pa.Table":
        import pyarrow as pa

        examples = [load_example(row) for row in batch["row"].to_pylist()]
        openings = ((digest(example), opening_words(example)) for example in examples)
        kept = nsmallest(SAMPLE, openings, key=lambda opening: opening[0])
        keys, said = [key for key, _ in kept], [" ".join(opening) for _, opening in kept]
        return pa.table({"digest": keys, "words": said})

    sampled = dataset.map_batches(first, batch_size=None, batch_format="pyarrow")
    for item in _items(sampled):
        yield item["digest"], item["words"].split()


def _marks(marked: "Dataset") -> Iterator[Mark]:
    for item in _items(marked.select_columns(list(_MARK))):
        found = tuple((name, count) for name, count in json.loads(item.pop("found")))
        yield Mark(**item, found=found)


def _only(marked: "Dataset", lines: Sequence[int]) -> "Dataset":
    """The rows of these lines."""
    import numpy as np

    wanted = np.asarray(lines, dtype=np.int64)

    def keep(batch: "pa.Table") -> "pa.Table":
        import pyarrow as pa

        return batch.filter(pa.array(np.isin(batch["line"].to_numpy(), wanted)))

    rows = marked.select_columns(["line", "row"])
    return rows.map_batches(keep, batch_size=None, batch_format="pyarrow")


def _items(dataset: "Dataset") -> Iterator[dict[str, Any]]:
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from batch.to_pylist()
