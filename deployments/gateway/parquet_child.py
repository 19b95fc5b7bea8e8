"""The process that reads a Parquet file to train on: `python -m deployments.gateway.parquet_child`.

Arguments: a folder of its own, MiB of memory, and the descriptor of the file. What is asked comes
on its standard input; the answer, a `Reading`, goes to its standard output. See `ParquetProcess`.
"""

import json
import mmap
import os
import sys
from pathlib import Path
from typing import BinaryIO, cast

from deployments.gateway.parquet_reading import Asked, Reading
from training.data.parquet import TOO_LARGE
from training.data.reading import read_dataset

__all__: list[str] = []


def main() -> None:
    """Read one file."""
    folder, memory_mib, descriptor = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    from cluster.confinement import confine, isolate, limit_memory
    from cluster.confinement.installation import installation

    namespaces = isolate()
    asked, answers = Asked.model_validate_json(sys.stdin.buffer.read()), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # for what a library prints
    import pyarrow.compute
    import pyarrow.parquet

    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as view:
        limit_memory(memory_mib)
        readable = installation("cluster", "training", "deployments")
        layers = confine(namespaces, readable, folder)
        if asked.required and not layers.is_shut:
            answer = Reading(missing=json.dumps(layers.missing()))
        else:
            answer = _read(pyarrow.BufferReader(pyarrow.py_buffer(view)), asked)
        with os.fdopen(answers, "wb") as stream:
            stream.write(answer.model_dump_json().encode())
        os._exit(0)  # Arrow still points into the view


def _read(stream: object, asked: Asked) -> Reading:
    try:
        read = read_dataset(
            cast(BinaryIO, stream),
            columns=asked.columns,
            keep_rows=False,
            name=asked.name,
        )
    except MemoryError:
        return Reading(problems=(TOO_LARGE,))
    return Reading(
        problems=read.problems,
        more_problems=read.more_problems,
        summary=read.summary,
    )


if __name__ == "__main__":
    main()
