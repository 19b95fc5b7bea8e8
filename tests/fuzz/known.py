"""Ids of objects that exist, so that requests reach past the first 404."""

import json
import random
from collections import defaultdict, deque
from typing import Any, Final

from tests.fuzz.attempts import Answer

__all__ = ["Known"]

_KEPT: Final = 24
_BY_PREFIX: Final = {
    "file-": ("file_id", "file_ids", "training_file", "validation_file", "evaluation_file"),
    "vs_": ("vector_store_id", "vector_store_ids", "vector_store"),
    "vsfb_": ("batch_id",),
    "resp_": ("response_id", "previous_response_id"),
    "trace_": ("trace_id", "request_id"),
    "fb_": ("feedback_id",),
    "ftjob-": ("job_id",),
    "gate_": ("gate_id", "gate"),
    "eval_": ("eval_id",),
    "evalrun_": ("run_id", "baseline_run", "candidate_run", "baseline", "candidate"),
    "outputitem_": ("item_id",),
    "evalcmp_": ("comparison_id",),
    "exp_": ("experiment_id", "experiment"),
    "monitor_": ("monitor_id",),
    "drift_": ("report_id",),
    "alert_": ("alert_id",),
    "ft:": ("adapter_id", "adapter", "model", "model_id", "target"),
    "adapter_": ("adapter_id", "adapter"),
    "proj_": ("project_id",),
    "key_": ("key_id",),
}
"""Which parameters and fields an id belongs in, by the way it begins."""


class Known:
    """What is known to exist, the newest few of each kind."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ids: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_KEPT))

    def add(self, fields: tuple[str, ...], value: str) -> None:
        """`value` stands in these parameters and fields."""
        for name in (*fields, "thing"):
            if value not in self._ids[name]:
                self._ids[name].append(value)

    def learn(self, answer: Answer) -> None:
        """Take the ids from an answer that went well."""
        if not 200 <= answer.status < 300 or answer.kind != "application/json":
            return
        for name, value in answer.headers:
            if name.lower() == b"x-trace-id":
                self.add(_BY_PREFIX["trace_"], value.decode())
        self._walk(json.loads(answer.body), 0)

    def pick(self, field: str) -> str | None:
        """An id for the field, or None where none is known."""
        held = self._ids.get(field)
        return self._chance.choice(held) if held else None

    def _walk(self, value: Any, depth: int) -> None:
        if depth > 6:
            return
        if isinstance(value, dict):
            if isinstance(found := value.get("id"), str):
                self._add_id(found)
            for inner in value.values():
                self._walk(inner, depth + 1)
        elif isinstance(value, list):
            for inner in value[:20]:
                self._walk(inner, depth + 1)

    def _add_id(self, value: str) -> None:
        for prefix, fields in _BY_PREFIX.items():
            if value.startswith(prefix):
                self.add(fields, value)
