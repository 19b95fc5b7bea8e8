"""Parquet as rows of a form. A file of a kilobyte may say that it holds a terabyte.

A value that stands in a column's dictionary once can stand in every row, and in every item of a
list. So columns are read as the dictionaries that they are in the file, which are no larger than
their row group; what a row takes when it is written out is reckoned before it is.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from training.data.columns import Columns
from training.data.forms.values import listed
from training.data.lines import LONGEST, Record
from training.data.problems import WHOLE_FILE, Problem
from training.data.tables import UNKNOWN_COLUMNS, checked_cells

if TYPE_CHECKING:
    from pyarrow import Array, RecordBatch
    from pyarrow.parquet import ParquetFile

__all__ = ["MAGIC", "TOO_LARGE", "parquet_rows"]

MAGIC: Final = b"PAR1"
"""How a file begins."""
TOO_LARGE: Final = Problem(
    WHOLE_FILE, "", "takes more memory to read than it may; write smaller row groups and pages."
)

_BATCH_ROWS: Final = 512
_BATCH_BYTES: Final = 64 * 1024**2
"""Of rows that are written out at once."""
_MOST_GROUP_BYTES: Final = 512 * 1024**2
"""Of the wanted columns of a row group, before compression."""
_MOST_BYTES: Final = 2 * 1024**3
"""Of all rows, written out: four times what an upload may have."""
_VALUE_BYTES: Final = 8
"""What a value takes besides its text."""
_TEXT: Final = "BYTE_ARRAY"


def parquet_rows(stream: BinaryIO, columns: Columns | None) -> Iterator[Record | Problem]:
    """Each row, by its number from 1; or what is wrong with it."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    spent = False
    try:
        table = ParquetFile(stream)
        names = table.schema_arrow.names
        chosen = columns or Columns.usual(names)
        if chosen is None:
            yield Problem(WHOLE_FILE, "", f"has the columns {listed(names)}; {UNKNOWN_COLUMNS}")
            return
        if lacking := chosen.missing(names):
            yield Problem(WHOLE_FILE, "", lacking)
            return
        largest, texts = _wanted(table, chosen.names)
        if largest > _MOST_GROUP_BYTES:
            said = f"has a row group of {largest:,} bytes; {_MOST_GROUP_BYTES:,} are allowed."
            yield Problem(WHOLE_FILE, "", said)
            return
        stream.seek(0)
        table = ParquetFile(stream, read_dictionary=texts)
        yield from _rows(table, chosen)
    except MemoryError:
        spent = True
    except (ArrowException, OSError) as error:
        yield Problem(WHOLE_FILE, "", f"is damaged Parquet: {error}.")
    if spent:
        yield TOO_LARGE


def _rows(table: "ParquetFile", columns: Columns) -> Iterator[Record | Problem]:
    line = total = 0
    for group in range(table.num_row_groups):
        wanted = {"columns": list(columns.names), "row_groups": [group]}
        for batch in table.iter_batches(_BATCH_ROWS, **wanted):
            for part in _parts(batch):
                size = _bytes_of(part)
                total += size
                if total > _MOST_BYTES:
                    said = f"holds more than {_MOST_BYTES:,} bytes; cut it before row {line + 1:,}."
                    yield Problem(WHOLE_FILE, "", said)
                    return
                if part.num_rows == 1 and size > LONGEST:
                    line += 1
                    yield Problem(line, "", f"is longer than {LONGEST:,} bytes.")
                    continue
                for cells in part.to_pylist():
                    line += 1
                    yield from checked_cells(line, cells, columns)


def _parts(batch: "RecordBatch") -> "Iterator[RecordBatch]":
    """The batch, or each of its rows where all of them are too much at once."""
    if _bytes_of(batch) <= _BATCH_BYTES:
        yield batch
    else:
        for row in range(batch.num_rows):
            yield batch.slice(row, 1)


def _bytes_of(batch: "RecordBatch") -> int:
    """What its values take when they are written out."""
    return sum(map(_size, batch.columns))


def _size(array: "Array") -> int:
    from pyarrow import compute, types

    own = _VALUE_BYTES * len(array)
    if types.is_dictionary(array.type):
        lengths = compute.binary_length(array.dictionary).take(array.indices)
        return own + int(compute.sum(lengths).as_py() or 0)
    if types.is_struct(array.type):
        return own + sum(map(_size, array.flatten()))
    if types.is_nested(array.type):
        return own + _size(array.flatten())
    return own + int(array.nbytes)


def _wanted(table: "ParquetFile", names: tuple[str, ...]) -> tuple[int, list[str]]:
    """Bytes of the wanted columns in the largest row group, and the paths of their texts."""
    schema, metadata = table.schema, table.metadata
    paths = [schema.column(number).path for number in range(metadata.num_columns)]
    wanted = [
        number
        for number, path in enumerate(paths)
        if any(path == name or path.startswith(f"{name}.") for name in names)
    ]
    largest = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        found: list[Any] = [group.column(number) for number in wanted]
        sizes = (one.total_uncompressed_size + _VALUE_BYTES * one.num_values for one in found)
        largest = max(largest, sum(sizes))
    texts = [n for n in wanted if schema.column(n).physical_type == _TEXT]
    return largest, [paths[number] for number in texts]
