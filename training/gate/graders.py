"""Scores from the Evaluator: an eval of one grader, and one run of it over given answers."""

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from training.errors import GateError
from training.gate.served import Graded

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["grade_rows"]

_NAME: Final = "Scores of a gate run"
_LOOK_S: Final = 1.0
_OPEN: Final = frozenset({"queued", "in_progress"})
_PAGE: Final = 100


def grade_rows(
    client: "OpenAI",
    grader: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    timeout_s: float,
    say: Callable[[str], None],
) -> Graded:
    """Score `rows` (each an `item` and a `sample`) by `grader`, and wait for it.

    Raises GateError where the run does not complete within `timeout_s`; the run is then cancelled.
    The eval and its run stay, for whoever wants to see the scores.
    """
    from openai import OpenAIError

    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file = client.files.create(file=("gate.jsonl", io.BytesIO(lines.encode())), purpose="evals")
    config: Any = {
        "type": "custom",
        "item_schema": {"type": "object"},
        "include_sample_schema": True,
    }
    criteria: Any = [dict(grader)]
    made = client.evals.create(name=_NAME, data_source_config=config, testing_criteria=criteria)
    source: Any = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    run = client.evals.runs.create(made.id, name=_NAME, data_source=source)
    try:
        ended = _awaited(client, made.id, run.id, timeout_s, say)
    except BaseException as error:
        try:
            client.evals.runs.cancel(run.id, eval_id=made.id)
        except OpenAIError as failure:
            error.add_note(f"The run {run.id} could not be cancelled: {failure}")
        raise
    if ended.status != "completed":
        why = ended.error.message if ended.error else ended.status
        raise GateError(
            f"The grader could not score the answers: {why}",
            fix=f"Look at the run {run.id}, and at `grader` in the gate's settings.",
        )
    scores: list[float | None] = [None] * len(rows)
    for item in client.evals.runs.output_items.list(run.id, eval_id=made.id, limit=_PAGE):
        told = item.results[0] if item.results else None
        scores[item.datasource_item_id] = None if told is None else told.score
    (figures,) = (ended.model_extra or {})["summary"]["graders"]
    return Graded(
        scores=scores,
        binary=bool(figures["binary"]),
        higher_is_better=bool(figures["higher_is_better"]),
        judge=figures.get("judge"),
    )


def _awaited(
    client: "OpenAI", eval_id: str, run_id: str, timeout_s: float, say: Callable[[str], None]
) -> Any:
    deadline = time.monotonic() + timeout_s
    told = -1
    while True:
        run = client.evals.runs.retrieve(run_id, eval_id=eval_id)
        counts = run.result_counts
        done = counts.passed + counts.failed + counts.errored
        if done != told:
            told = done
            say(f"{done} of {counts.total} answers graded")
        if run.status not in _OPEN:
            return run
        if time.monotonic() > deadline:
            raise GateError(
                f"The grader scored {done} of {counts.total} answers in {timeout_s:g} s.",
                fix="Raise `grading_timeout_s` in the gate's settings, or ask fewer items.",
            )
        time.sleep(_LOOK_S)
