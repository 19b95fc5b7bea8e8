"""The process that parses: `python -m ingestion.parser_child`, started by `ParserProcess`.

It imports the parsers, gives up every right that parsing does not need, and then reads strangers'
bytes. What comes in and goes out are frames on its standard input and output: a line of JSON, and
as many bytes as its `bytes` says. The document comes in as bytes, so there is no file to open.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ingestion.loaders.limits import DocumentLimits

__all__ = ["read_frame", "write_frame"]

_WARM_UP_FILES: Final = (
    ("warm.md", b"# Title\n\nA sentence. And another one.\n"),
    ("warm.html", b"<h1>Title</h1><p>A sentence. And another one.</p>"),
)


def write_frame(stream: IO[bytes], head: dict[str, Any], data: bytes = b"") -> None:
    """Write one frame."""
    stream.write(json.dumps({**head, "bytes": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one frame; None where the stream ends before one is whole."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head: dict[str, Any] = json.loads(line)
    data = stream.read(head["bytes"])
    return (head, data) if len(data) == head["bytes"] else None


def main() -> None:
    """Serve until the input ends.

    Arguments: a folder of its own, MiB of memory, the loader, and the limits as JSON.
    """
    folder, memory_mib, loader = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    from cluster.confinement import confine, isolate, limit_memory
    from cluster.confinement.installation import installation
    from ingestion.loaders.limits import DocumentLimits

    namespaces = isolate()
    requests, answers = _private_streams()
    load = _loader(loader, DocumentLimits(**json.loads(sys.argv[4])))
    limit_memory(memory_mib)
    layers = confine(namespaces, installation("cluster", "ingestion"), folder)
    write_frame(answers, {"layers": asdict(layers)})
    while (frame := read_frame(requests)) is not None:
        head, data = frame
        answer, document = _answer(load, data, head["filename"], memory_mib)
        del frame, data
        write_frame(answers, answer, document)


def _private_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output, out of reach of what a library prints."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _loader(name: str, limits: "DocumentLimits") -> Callable[[bytes, str], bytes]:
    """Import what parses; the parsers themselves take seconds."""
    from importlib import import_module

    from ingestion.loaders import load_document
    from ingestion.stored_text import dump_document

    for filename, data in _WARM_UP_FILES:
        load_document(data, filename)
    module, _, function = name.partition(":")
    load = getattr(import_module(module), function)
    return lambda data, filename: dump_document(load(data, filename, limits))


def _answer(
    load: Callable[[bytes, str], bytes], data: bytes, filename: str, memory_mib: int
) -> tuple[dict[str, Any], bytes]:
    from ingestion.errors import DocumentError

    try:
        return {}, load(data, filename)
    except MemoryError:
        return {"memory": memory_mib}, b""
    except DocumentError as error:
        if isinstance(error.__cause__, MemoryError):
            return {"memory": memory_mib}, b""
        return {"error": error.message, "code": error.code, "fix": error.fix}, b""
    except Exception as error:  # noqa: BLE001 - the edge of the process; the parent says the rest
        return {"error": f"{filename!r} cannot be read: {type(error).__name__}.", "fix": ""}, b""


if __name__ == "__main__":
    main()
