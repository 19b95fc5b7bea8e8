"""From a finished draft to a row of `traces`: what the policy lets stand of it."""

import math
from typing import TYPE_CHECKING, Any, Final

from cluster.settings import TracingSettings
from deployments.tracing.draft import TraceDraft
from deployments.tracing.prices import Prices

if TYPE_CHECKING:
    from deployments.tracing.masking import TraceMask

__all__ = ["RowMaker"]

_TEXTS: Final = frozenset(
    {
        "passages",
        "left_out",
        "sentences",
        "query",
        "support",
        "messages",
        "prompt_values",
        "step_outputs",
    }
)


class RowMaker:
    """Makes rows. Not on the event loop: masking takes its time."""

    def __init__(
        self,
        *,
        store_text: bool = True,
        mask: "TraceMask | None" = None,
        prices: Prices | None = None,
    ) -> None:
        self._store_text: Final = store_text
        self._mask: Final = mask
        self._prices: Final = prices or Prices()

    @classmethod
    def of(cls, settings: TracingSettings) -> "RowMaker":
        """Make what the settings say. Loading the recognizers of a mask takes seconds."""
        mask = None
        if settings.mask == "mask" and settings.store_text:
            from deployments.tracing.masking import TraceMask

            mask = TraceMask()
        return cls(store_text=settings.store_text, mask=mask, prices=Prices(settings.prices))

    def values(self, draft: TraceDraft) -> dict[str, Any]:
        """The columns of `draft`'s row."""
        body = draft.body if self._store_text else _without_text(draft.body)
        tokens = body.get("tokens") or {}
        prompt, completion = tokens.get("prompt"), tokens.get("completion")
        timings = {"timings_ms": dict(draft.timings_ms)}
        if draft.began_ms:
            timings["began_ms"] = dict(draft.began_ms)
        values: dict[str, Any] = {
            "id": draft.id,
            "project_id": draft.project_id,
            "key_id": draft.key_id,
            "request_id": draft.request_id,
            "route": draft.route,
            "model": draft.model,
            "status": draft.status,
            "question": _storable(draft.question) if self._store_text else None,
            "answer": _storable(draft.answer) if self._store_text else None,
            "prompt_version": draft.prompt_version,
            "alias": draft.alias,
            "user_id": draft.user_id,
            "experiment_id": draft.experiment_id,
            "arm": draft.arm,
            "shadow_of": draft.shadow_of,
            "refused": draft.refused,
            "error_code": (body.get("error") or {}).get("code"),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cost": self._prices.cost(draft.model, body.get("base_model"), prompt, completion),
            "body": _storable({**body, **timings}),
            "duration_ms": draft.duration_ms or 0.0,
            "created_at": draft.created_at,
        }
        return values if self._mask is None else self._mask.row(values)


def _without_text(body: dict[str, Any]) -> dict[str, Any]:
    """What a body says beside what somebody wrote: numbers, codes, the client's own labels."""
    kept = {key: value for key, value in body.items() if key not in _TEXTS}
    if "input" in kept:
        options = kept["input"].get("options") or {}
        kept["input"] = {
            "options": {k: v for k, v in options.items() if isinstance(v, int | float | bool)}
        }
    if "error" in kept:
        kept["error"] = {k: v for k, v in kept["error"].items() if k != "message"}
    return kept


def _storable(value: Any) -> Any:
    """`value` without what databases refuse: NUL, half a surrogate pair, numbers that are none."""
    if isinstance(value, str):
        clean = value.replace("\x00", "\ufffd")
        return clean if clean.isascii() else clean.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
