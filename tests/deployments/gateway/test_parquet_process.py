"""Parquet is read by a process with bounds, whatever the file says of its sizes."""

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest

from cluster.confinement.probe import probe_layers
from deployments.gateway import parquet_process
from deployments.gateway.parquet_process import ParquetProcess
from deployments.gateway.parquet_reading import Asked, Reading
from training.data.parquet import TOO_LARGE
from training.data.problems import Problem

_MIB = 1024**2
_ENDLESS = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
_LYING = b"\xfe\xff\xff\x7f"
"""128 MiB as a signed number of Thrift's compact protocol."""


def written(table: Any, **options: Any) -> bytearray:
    from pyarrow.parquet import write_table

    stream = BytesIO()
    write_table(table, stream, **options)
    return bytearray(stream.getvalue())


def read(data: bytes | bytearray, *, memory_mib: int = 128, required: bool = False) -> Reading:
    asked = Asked(name="t.parquet", columns=None, required=required)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        return ParquetProcess(memory_mib=memory_mib, timeout_s=120).read(file, asked)


def texts(*prompts: str) -> Any:
    import pyarrow as pa

    return pa.table({"prompt": prompts, "completion": ["b"] * len(prompts)})


def problem_of(reading: Reading) -> str:
    (problem,) = reading.problems
    assert (problem.line, problem.field) == (0, "")
    return problem.message


def test_counts_and_problems_come_back() -> None:
    import pyarrow as pa

    reading = read(written(texts("a", "aa", "aaa")))
    assert (reading.summary.rows, reading.summary.characters) == (3, 9)
    empty = texts("a").set_column(1, "completion", pa.array([""]))
    (problem,) = read(written(empty)).problems
    assert problem == Problem(1, "completion", "is empty: there is no token to train on.")


def test_a_page_that_lies_about_its_size_takes_no_more_than_the_limit() -> None:
    from pyarrow.parquet import read_metadata

    data = written(texts("a" * (_MIB + _MIB // 4)), use_dictionary=False, compression="zstd")
    at = read_metadata(BytesIO(data)).row_group(0).column(0).data_page_offset
    assert data[at : at + 3] == b"\x15\x00\x15", "the page's kind, and then its size"
    data[at + 3 : at + 7] = _LYING
    assert read(data, memory_mib=64).problems == (TOO_LARGE,)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("import os; os.abort()", "cannot be read: its reader failed (exit status -6)."),
        (_ENDLESS, "cannot be read: its reader failed (exit status -9)."),
        ("import time; time.sleep(600)", "takes longer than 0.5 s to read; split it."),
    ],
)
def test_a_reader_that_dies_hangs_or_talks_on_and_on_is_a_problem_of_the_file(
    monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    monkeypatch.setattr(parquet_process, "_CHILD", ("-c", does))
    asked = Asked(name="t.parquet", columns=None, required=False)
    with tempfile.TemporaryFile() as file:
        limit = 0.5 if "sleep" in does else 120
        assert problem_of(ParquetProcess(memory_mib=128, timeout_s=limit).read(file, asked)) == said


def test_a_reader_that_nobody_waits_for_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_process, "_CHILD", ("-c", "import time; time.sleep(600)"))
    asked = Asked(name="t.parquet", columns=None, required=False)
    process, began = ParquetProcess(memory_mib=128, timeout_s=500), threading.Event()
    ask = process._ask

    def begun(*given: Any) -> bytes:
        began.set()
        return ask(*given)

    monkeypatch.setattr(process, "_ask", begun)
    with ThreadPoolExecutor(1) as pool, tempfile.TemporaryFile() as file:
        reading = pool.submit(process.read, file, asked)
        assert began.wait(60)
        process.end()
        assert "exit status -9" in problem_of(reading.result(60))


def test_where_a_sandbox_is_required_and_lacking_nothing_is_read() -> None:
    layers = probe_layers()
    assert layers is not None
    reading = read(written(texts("a")), required=True)
    assert (reading.missing is None, reading.summary.rows) == (
        (True, 1) if layers.is_shut else (False, 0)
    )
