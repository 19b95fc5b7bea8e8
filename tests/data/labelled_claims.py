"""The labelled claims that the fact check is measured on: `guards/claims.jsonl`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from deployments.gateway.grounding.attribution import Verdict

__all__ = ["SPLITS", "LabelledClaim", "labelled_claims"]

_FILE: Final = Path(__file__).with_name("guards") / "claims.jsonl"

Split = Literal["tuning", "held_out"]
SPLITS: Final[tuple[Split, ...]] = ("tuning", "held_out")


@dataclass(frozen=True)
class LabelledClaim:
    """A sentence, and what a passage says of it. No passage is in both splits."""

    passage: str
    claim: str
    verdict: Verdict
    split: Split
    kind: str
    """What was done to the passage's words: `paraphrase`, `number`, `role`…"""


def labelled_claims(split: Split | None = None) -> list[LabelledClaim]:
    """The claims of a split, or of both."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    rows = [LabelledClaim(**json.loads(line)) for line in lines]
    return [row for row in rows if split in (None, row.split)]
