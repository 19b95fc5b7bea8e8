"""Put documents into a vector store through the OpenAI API, and follow them to their end."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from cluster.cli.documents import Document
from cluster.client import translated_errors
from cluster.errors import ApiError

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.vector_stores import VectorStoreFile

__all__ = ["Outcome", "put_documents"]

_UPLOADS_AT_ONCE: Final = 4
_POLL_S: Final = 0.5
_NO_ANSWER_S: Final = 60.0

Progress = Callable[[int, Counter[str]], None]
"""Called with the number of finished documents and how many are at each stage."""


@dataclass(frozen=True)
class Outcome:
    """How one document ended."""

    source: str
    status: Literal["completed", "unchanged", "failed"]
    file_id: str | None = None
    reason: str = ""


@dataclass
class _Work:
    """Documents on their way: by file id."""

    waiting: dict[str, Document] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


def put_documents(
    client: "OpenAI", store_id: str, documents: Iterable[Document], progress: Progress
) -> list[Outcome]:
    """Upload what is new or changed, at most four at once, and wait until each has ended.

    A document whose SHA-256 stands already in the store is left alone. One that fails does not
    keep the others. Raises UnreachableError when the server goes away.
    """
    wanted = list(documents)
    present = _present(client, store_id)
    work = _Work()
    new: list[Document] = []
    for document in wanted:
        known = present.get(document.source)
        if known is None or known[0] != document.sha256 or known[2] not in _KEPT:
            new.append(document)
        elif known[2] == "completed":
            work.outcomes.append(Outcome(document.source, "unchanged", known[1]))
        else:
            work.waiting[known[1]] = document
    with _uploads() as pool:
        for outcome in pool.map(lambda document: _upload(client, store_id, document), new):
            if outcome.status == "failed":
                work.outcomes.append(outcome)
            progress(len(work.outcomes), Counter(uploading=len(wanted) - len(work.outcomes)))
            if outcome.file_id is not None and outcome.status == "completed":
                work.waiting[outcome.file_id] = next(d for d in new if d.source == outcome.source)
    _follow(client, store_id, work, progress)
    return work.outcomes


_KEPT: Final = frozenset({"completed", "in_progress"})


@contextmanager
def _uploads() -> Iterator[ThreadPoolExecutor]:
    """Make a pool that drops what has not begun when the block ends early, such as by Ctrl-C."""
    pool = ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _present(client: "OpenAI", store_id: str) -> dict[str, tuple[str, str, str]]:
    """Per source: SHA-256, file id and status of its newest version."""
    present: dict[str, tuple[str, str, str]] = {}
    for file in client.vector_stores.files.list(store_id, limit=100, order="asc"):
        attributes = file.attributes or {}
        if source := attributes.get("source"):
            present[str(source)] = (str(attributes.get("sha256", "")), file.id, file.status)
    return present


def _upload(client: "OpenAI", store_id: str, document: Document) -> Outcome:
    try:
        with document.path.open("rb") as stream, translated_errors(str(client.base_url)):
            file = client.files.create(file=(document.filename, stream), purpose="assistants")
            client.vector_stores.files.create(
                store_id,
                file_id=file.id,
                attributes={"source": document.source, "sha256": document.sha256},
            )
    except (ApiError, OSError) as error:
        return Outcome(document.source, "failed", reason=str(error))
    return Outcome(document.source, "completed", file.id)


def _follow(client: "OpenAI", store_id: str, work: _Work, progress: Progress) -> None:
    """Ask for the state of what is waiting until nothing is."""
    silent_since: float | None = None
    while work.waiting:
        try:
            with translated_errors(str(client.base_url)):
                stages = _take_finished(client, store_id, work)
            silent_since = None
        except ApiError as error:  # a restart of the gateway must not lose the report
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > _NO_ANSWER_S or error.status == 404:
                raise
            stages = Counter(waiting=len(work.waiting))
        progress(len(work.outcomes), stages)
        if work.waiting:
            time.sleep(_POLL_S)


def _take_finished(client: "OpenAI", store_id: str, work: _Work) -> Counter[str]:
    stages: Counter[str] = Counter()
    running: set[str] = set()
    for file in client.vector_stores.files.list(store_id, filter="in_progress", limit=100):
        if file.id in work.waiting:
            running.add(file.id)
            stages[_stage(file)] += 1
    for file_id in [known for known in work.waiting if known not in running]:
        file = client.vector_stores.files.retrieve(file_id, vector_store_id=store_id)
        if file.status == "in_progress":
            stages[_stage(file)] += 1
            continue
        source = work.waiting.pop(file_id).source
        if file.status == "completed":
            work.outcomes.append(Outcome(source, "completed", file_id))
        else:
            reason = file.last_error.message if file.last_error else file.status
            work.outcomes.append(Outcome(source, "failed", file_id, reason))
    return stages


def _stage(file: "VectorStoreFile") -> str:
    return str((file.model_extra or {}).get("stage") or "in progress")
