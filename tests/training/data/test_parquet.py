"""Parquet becomes rows through a mapping of columns, whatever the file says that it holds."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

import training.data.parquet as limits
from tests.training.data.samples import said
from training.data.columns import Columns
from training.data.reading import read_dataset
from training.examples import ChatExample, TextExample

BANK = Columns(prompt="text", completion="category")
_MIB = 1024**2
_OPTIONS = {"compression", "dictionary_pagesize_limit", "row_group_size"}


def parquet(**given: Any) -> BytesIO:
    """A file of columns, and of options of the writer."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    options = {name: given.pop(name) for name in _OPTIONS & given.keys()}
    stream = BytesIO()
    write_table(pa.table(given), stream, **options)
    stream.seek(0)
    return stream


@pytest.fixture
def memory() -> Iterator[Any]:
    """What Arrow takes meanwhile: `max_memory()`."""
    import pyarrow as pa

    pool = pa.proxy_memory_pool(pa.system_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(before)


def repeated(text: str, times: int) -> Any:
    """A column that says one text in every row, and keeps it once."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), [text])


def test_parquet_rows_are_named_by_their_number() -> None:
    stream = parquet(text=["a", None, "c", "d"], category=["1", "2", "", "4"], other=[1, 2, 3, 4])
    read = read_dataset(stream, None, BANK)
    assert [(p.line, p.field, p.message) for p in read.problems] == [
        (2, "text", "is empty."),
        (3, "category", "is empty: there is no token to train on."),
    ]
    assert [(row.line, row.example) for row in read.rows] == [
        (1, TextExample("a", "1")),
        (4, TextExample("d", "4")),
    ]


def test_parquet_of_numbers_says_that_text_is_wanted() -> None:
    (problem,) = read_dataset(parquet(text=["a"], category=[7]), None, BANK).problems
    assert (problem.line, problem.field) == (1, "category")
    assert problem.message == "is 7; it must be text."


def test_nested_messages_lose_the_nulls_that_parquet_pads_with() -> None:
    talk = [[said("user", name="Ann"), said("assistant", weight=0), said("assistant")]]
    tool = {"type": "function", "function": {"name": "weather"}}
    (example,) = read_dataset(parquet(messages=talk, tools=[[tool]])).examples()
    assert isinstance(example, ChatExample)
    assert example.messages == (
        said("user", name="Ann"),
        said("assistant"),
        said("assistant"),
    )
    assert example.weights == (0, 0, 1)
    assert example.tools == (tool,)


def test_damaged_parquet_is_a_problem_of_the_file() -> None:
    content = parquet(text=["a"], category=["b"]).getvalue()
    (problem,) = read_dataset(BytesIO(content[:40]), None, BANK).problems
    assert problem.line == 0
    assert problem.message.startswith("is damaged Parquet: ")


def test_one_text_in_every_row_is_never_written_out_at_once(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kilobyte that is half a gigabyte."""
    monkeypatch.setattr(limits, "_BATCH_BYTES", 4 * _MIB)
    monkeypatch.setattr(limits, "_MOST_BYTES", 20 * _MIB)
    stream = parquet(
        compression="zstd",
        dictionary_pagesize_limit=4 * _MIB,
        text=repeated("a" * _MIB, 512),
        category=repeated("b", 512),
    )
    assert len(stream.getbuffer()) < 4096
    read = read_dataset(stream, None, BANK)
    (problem,) = read.problems
    assert (problem.line, len(read.rows)) == (0, 19)
    assert problem.message == "holds more than 20,971,520 bytes; cut it before row 20."
    assert memory.max_memory() < 32 * _MIB


def test_a_row_is_no_longer_than_a_line_though_its_list_says_one_text_again_and_again(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    monkeypatch.setattr(limits, "_BATCH_BYTES", 4 * _MIB)
    turns = 64
    content = repeated("a" * _MIB, 2 * turns)
    roles = pa.array(["user", "assistant"] * turns)
    items = pa.StructArray.from_arrays([roles, content], ["role", "content"])
    talks = pa.ListArray.from_arrays(pa.array([0, 2, 2 * turns], pa.int32()), items)
    stream = parquet(compression="zstd", dictionary_pagesize_limit=4 * _MIB, messages=talks)
    assert len(stream.getbuffer()) < 4096
    read = read_dataset(stream)
    assert [(p.line, p.message) for p in read.problems] == [(2, "is longer than 16,777,216 bytes.")]
    assert [row.line for row in read.rows] == [1]
    assert memory.max_memory() < 32 * _MIB


def test_a_row_group_beyond_all_measure_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_GROUP_BYTES", 1000)
    (problem,) = read_dataset(parquet(text=["a"] * 900, category=["b"] * 900), None, BANK).problems
    assert problem.line == 0
    assert problem.message.startswith("has a row group of ")


@pytest.mark.parametrize(
    "value", [Decimal("1.5"), b"\xff", datetime(2026, 1, 1, tzinfo=UTC), [b"x"], {"a": 1.0}, True]
)
def test_values_of_any_type_are_told_and_rows_of_several_groups_counted_on(value: Any) -> None:
    stream = parquet(row_group_size=2, text=["a", "b", "c"], category=[value, None, value])
    read = read_dataset(stream, None, BANK)
    assert [(p.line, p.field) for p in read.problems] == [(n, "category") for n in (1, 2, 3)]
