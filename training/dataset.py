"""The rows of a run: read, checked against its method, and curated where that is asked for."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.columns import Columns
from training.data.curation.lengths import TokenCount
from training.data.curation.pipeline import Curated, curate
from training.data.curation.receipt import Receipt
from training.data.reading import read_rows
from training.data.rows import Row
from training.data.settings import CurationSettings
from training.errors import CurationError, PlanError
from training.examples import Example, PreferenceExample
from training.settings import TrainingSettings

__all__ = ["Reader", "RunRows", "read_run"]

Reader = Callable[[Path, "Columns | None"], Sequence[Example]]
"""Examples from elsewhere than a file's rows; they are numbered from 1."""


@dataclass(frozen=True, slots=True)
class RunRows:
    """What a run trains on and validates with."""

    train: Sequence[Row]
    validation: Sequence[Row] | None
    """None where neither a file nor curation gives any."""
    receipt: Receipt | None
    """Of curation, where it is on."""


def read_run(
    settings: TrainingSettings,
    count: TokenCount,
    *,
    read: Reader | None = None,
    say: Callable[[str], None] = lambda _line: None,
    connect: Callable[[], None] = lambda: None,
    heed: Callable[[], None] = lambda: None,
) -> RunRows:
    """Read the files of the run. `connect` joins the cluster, if that is to curate.

    `heed` is called after each file, and at each row that is curated in this process. Raises
    DatasetError, CurationError or PlanError.
    """
    data = settings.data
    train = _read(settings, data.train, read)
    validation: Sequence[Row] | None = None
    if data.validation is not None:
        heed()
        validation = _read(settings, data.validation, read)
    heed()
    if data.curation is None:
        return RunRows(train, validation, None)
    say(f"curating {len(train):,} rows")
    curated = _curated(settings, train, count, read, connect, heed)
    if not curated.train:
        raise _nothing_left(settings, curated.receipt)
    if validation is None and data.curation.split.validation_share:
        validation = curated.validation
    return RunRows(curated.train, validation, curated.receipt)


def _read(settings: TrainingSettings, path: Path, read: Reader | None) -> list[Row]:
    columns = settings.data.columns
    if read is None:
        rows = read_rows(path, columns)
    else:
        rows = [Row(number, row) for number, row in enumerate(read(path, columns), start=1)]
    _check_kind(settings, rows, path)
    return rows


def _check_kind(settings: TrainingSettings, rows: Sequence[Row], path: Path) -> None:
    kinds = Counter(isinstance(row.example, PreferenceExample) for row in rows)
    if not rows:
        raise PlanError(f"{path} holds no example.")
    dpo = settings.method == "dpo"
    if kinds[not dpo]:
        wanted = "pairs to prefer between" if dpo else "conversations or completions"
        raise PlanError(
            f"method {settings.method} trains on {wanted}; {kinds[not dpo]} of the "
            f"{len(rows)} examples in {path} are not.",
            fix=f"Set `method: {'supervised' if dpo else 'dpo'}` or give other data.",
        )


def _curated(
    settings: TrainingSettings,
    rows: Sequence[Row],
    count: TokenCount,
    read: Reader | None,
    connect: Callable[[], None],
    heed: Callable[[], None],
) -> Curated:
    data, plan = settings.data, settings.data.curation or CurationSettings()
    if data.validation is not None:
        plan = plan.model_copy(
            update={"split": plan.split.model_copy(update={"validation_share": 0.0})}
        )
    evaluation: Sequence[Example] = ()
    if data.evaluation is not None:
        columns = data.columns
        evaluation = (
            [row.example for row in read_rows(data.evaluation, columns)]
            if read is None
            else read(data.evaluation, columns)
        )
    if not settings.workers.max or data.bulk_rows is None or len(rows) < data.bulk_rows:
        return curate(rows, plan, evaluation=evaluation, count=count, progress=lambda _done: heed())
    connect()
    return _curated_on_cluster(settings, rows, plan, evaluation, count)


def _curated_on_cluster(
    settings: TrainingSettings,
    rows: Sequence[Row],
    plan: CurationSettings,
    evaluation: Sequence[Example],
    count: TokenCount,
) -> Curated:
    from ray.data import DataContext
    from ray.exceptions import RayError

    from training.data.curation.bulk import curate_bulk, dataset_of, rows_of

    DataContext.get_current().enable_progress_bars = False
    workers = settings.workers
    try:
        bulk = curate_bulk(
            dataset_of(rows),
            plan,
            evaluation=evaluation,
            count=count,
            workers=workers.max,
            cpus=workers.cpus,
        )
        train, validation = rows_of(bulk.train), rows_of(bulk.validation)
    except RayError as error:
        last = [line for line in str(error).splitlines() if line.strip()][-1]
        raise CurationError(
            f"Curating {len(rows)} rows on the cluster failed: {last.strip()[:300]}",
            fix="`data.bulk_rows: null` curates in this process.",
        ) from error
    return Curated(tuple(train), tuple(validation), bulk.receipt)


def _nothing_left(settings: TrainingSettings, receipt: Receipt) -> PlanError:
    most = max(receipt.stages, key=lambda stage: stage.rows_in - stage.rows_out)
    return PlanError(
        f"Curation leaves none of the {receipt.rows} rows in {settings.data.train} to train on; "
        f"{most.stage} removed {most.rows_in - most.rows_out}.",
        fix=f"Change `data.curation.{most.stage}`; `everloop data curate` shows what each stage "
        "does.",
    )
