"""Curating as stages of Ray Data gives what curating in one process gives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.ray_cluster import SharedRay
from tests.training.data.samples import chat, completions, jsonl, said
from tests.training.tiny import tiny_chat_folder
from training.data.curation.bulk import MarkRows, curate_bulk, dataset_of, rows_of
from training.data.curation.frames import NO_FRAME
from training.data.curation.marking import MarkerPlan
from training.data.curation.pipeline import curate
from training.data.reading import read_dataset
from training.data.records import dump_example, record_of
from training.data.rows import Row
from training.data.settings import (
    CurationSettings,
    LengthSettings,
    NearDuplicateSettings,
    PersonalDataSettings,
    SplitSettings,
)
from training.dataset import RunRows, read_run
from training.examples import TextExample
from training.settings import TrainingSettings
from training.tokens import TokenCounter


@pytest.fixture(scope="module")
def ray_here(shared_ray: SharedRay) -> Iterator[None]:
    """A Ray that this process has joined."""
    from ray.data import DataContext

    with shared_ray.joined("curation"):
        DataContext.get_current().enable_progress_bars = False
        yield


@pytest.mark.integration
def test_a_run_is_curated_by_the_clusters_workers_as_in_this_process(
    ray_here: None, tmp_path: Path
) -> None:
    model = tiny_chat_folder(tmp_path / "model")
    (tmp_path / "train.jsonl").write_bytes(
        jsonl(*(record_of(row.example) for row in _rows())).getvalue()
    )
    connected = []

    def rows(workers: int, bulk_rows: int) -> RunRows:
        settings = TrainingSettings.model_validate(
            {
                "name": "run",
                "model": str(model),
                "data": {
                    "train": str(tmp_path / "train.jsonl"),
                    "curation": {"lengths": {"min_tokens": 20}},
                    "bulk_rows": bulk_rows,
                },
                "workers": {"min": workers, "max": workers},
            }
        )
        counter = TokenCounter(settings.model, tmp_path)
        return read_run(settings, counter, connect=lambda: connected.append(bulk_rows))

    here = rows(1, bulk_rows=1_000)
    assert here.receipt is not None
    assert here.receipt.stages[0].removed == {"fewer than 20 tokens": 1}
    assert rows(0, bulk_rows=5) == here
    assert connected == []
    assert rows(1, bulk_rows=5) == here
    assert connected == [5]


def _rows() -> list[Row]:
    """Of all fates: too short, of the evaluation set, equal, near, held out, kept."""
    things = ["card", "transfer", "pin", "refund", "cheque", "loan"]
    asked = [
        f"Intent of this question: {start} my {thing} {end}?"
        for thing in things
        for start, end in (("where is", "now"), ("who took", "from me"), ("why was", "declined"))
    ]
    rows = completions([(text, "a") for text in asked * 3] + [("?", "b"), (asked[0] + " ok", "a")])
    return [*rows, Row(500, TextExample(f"Intent of this question: {'how is ' * 9} it?", "c"))]


@pytest.mark.integration
def test_ray_data_gives_the_same_rows_and_receipt(ray_here: None) -> None:
    settings = CurationSettings(
        lengths=LengthSettings(min_characters=5),
        near_duplicates=NearDuplicateSettings(threshold=0.6),
        split=SplitSettings(validation_share=0.25),
    )
    rows = _rows()
    evaluation = [rows[4].example]
    alone = curate(rows, settings, evaluation=evaluation)
    bulk = curate_bulk(dataset_of(rows).repartition(3), settings, evaluation=evaluation, cpus=0.5)
    assert bulk.receipt == alone.receipt
    assert bulk.receipt.sha256 == alone.receipt.sha256
    assert rows_of(bulk.train) == list(alone.train)
    assert rows_of(bulk.validation) == list(alone.validation)
    gone = {stage.stage: sum(stage.removed.values()) for stage in alone.receipt.stages}
    assert min(gone[name] for name in gone if name != "split") > 0
    assert alone.validation


def test_a_worker_hands_on_masked_rows_and_their_marks() -> None:
    import pyarrow as pa

    settings = CurationSettings(personal_data=PersonalDataSettings(entities=("IP_ADDRESS",)))
    talk = chat(said("user", "Ping 10.0.0.1 and 10.0.0.2"), said("assistant", "No."))
    (example,) = read_dataset(jsonl(talk)).examples()
    worker = MarkRows(MarkerPlan(settings, NO_FRAME, None, None))
    (item,) = worker(pa.table({"line": [7], "row": [dump_example(example)]})).to_pylist()
    assert (item["line"], item["changed_by"]) == (7, "personal_data")
    assert item["found"] == '[["IP_ADDRESS", 2]]'
    assert "Ping <IP_ADDRESS> and <IP_ADDRESS>" in item["row"]
    assert len(item["signature"]) == 4 * settings.near_duplicates.permutations
    assert item["digest_in"] != item["digest_out"]
