"""`everloop feedback export`: rows to train on, a receipt beside them, and their upload."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from cluster.errors import SettingsError
from deployments.feedback.commands import Narrowing, all_feedback, service
from training.data.feedback import FeedbackRows, FeedbackRule, rows_of_feedback
from training.data.reading import read_rows

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["export"]

_FAILED: Final = 1


def export(
    out: Path,
    narrowing: Narrowing,
    rule: FeedbackRule,
    *,
    upload: bool,
    base_url: str | None,
    as_json: bool,
) -> int:
    """Write the rows to `out` and the receipt to `out` with `.receipt.json`; 1 where there is none.

    The rows are read again by the reader of fine-tuning files before `out` is replaced. Where
    nothing can be learned, only the receipt is written.
    """
    with service(base_url) as client:
        found = rows_of_feedback(all_feedback(client, narrowing.query(), order="asc"), rule)
        data = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in found.rows).encode()
        receipt = _receipt(found, narrowing, rule, data)
        receipt_path = out.with_name(f"{out.name}.receipt.json")
        try:
            if found.rows:
                _write_checked(out, data)
            receipt_path.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"{out} cannot be written: {error.strerror}.") from error
        file_id = _upload(client, out) if upload and found.rows else None
    if as_json:
        print(json.dumps({**receipt, "file": str(out), "file_id": file_id}, indent=2))
        return 0 if found.rows else _FAILED
    _print(found, Console())
    if not found.rows:
        print(f"No row to write to {out}; {receipt_path} says why.")
        return _FAILED
    print(f"{len(found.rows)} rows written to {out}; receipt: {receipt_path}")
    if file_id is not None:
        print(file_id)
    return 0


def _write_checked(out: Path, data: bytes) -> None:
    """Whole or not at all."""
    draft = out.with_name(f".{out.name}.part")
    try:
        draft.write_bytes(data)
        read_rows(draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _receipt(
    found: FeedbackRows, narrowing: Narrowing, rule: FeedbackRule, data: bytes
) -> dict[str, Any]:
    """What was made of what: equal for equal feedback and options."""
    return {
        "form": rule.form,
        "rows": len(found.rows),
        "sha256": hashlib.sha256(data).hexdigest(),
        "feedback": found.feedback,
        "taken": found.taken,
        "left_out": dict(found.left_out),
        "duplicates": found.duplicates,
        "conflicts": [list(ids) for ids in found.conflicts],
        "rule": {
            "least_score": rule.least_score,
            "unreviewed": rule.unreviewed,
            "with_passages": rule.with_passages,
        },
        "narrowed_to": narrowing.query(),
    }


def _upload(client: "OpenAI", path: Path) -> str:
    with path.open("rb") as file:
        return client.files.create(file=file, purpose="fine-tune").id


def _print(found: FeedbackRows, console: Console) -> None:
    console.print(f"{found.feedback:,} pieces of feedback", style="bold", highlight=False)
    for label, count in {"taken": found.taken, **found.left_out}.items():
        console.print(f"  {count:>6,}  {label}", highlight=False, soft_wrap=True)
    if found.duplicates:
        print(f"{found.duplicates:,} of those taken say the same of the same answer as another")
    if found.conflicts:
        print(f"{len(found.conflicts):,} answers are called good and bad; the receipt has the ids")
