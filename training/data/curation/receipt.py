"""What curating did to a dataset: stored beside it, and equal for equal input and settings."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from training.data.settings import CurationSettings

__all__ = ["Receipt", "Removal", "StageReceipt", "library_versions"]


@dataclass(frozen=True, slots=True)
class Removal:
    """A row that went."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class StageReceipt:
    """What one stage did."""

    stage: str
    rows_in: int
    rows_out: int
    removed: Mapping[str, int] = field(default_factory=dict)
    """Rows by the reason why they went."""
    examples: tuple[Removal, ...] = ()
    """The first of them."""
    changed: int = 0
    """Rows that stay and are not as they were."""
    changed_lines: tuple[int, ...] = ()
    """The first of them."""
    found: Mapping[str, int] = field(default_factory=dict)
    """What the stage counts besides: kinds of personal data, groups."""
    groups: tuple[tuple[int, ...], ...] = ()
    """Lines that belong together, the first of them kept; the first groups."""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """All stages in order, what went in, and what came out."""

    rows: int
    sha256_in: str
    """Of the examples in the order of their lines; not of the file's bytes."""
    stages: tuple[StageReceipt, ...]
    train_rows: int
    train_sha256: str
    validation_rows: int
    validation_sha256: str
    seed: int
    libraries: Mapping[str, str]
    """Versions of the libraries that decided."""

    @property
    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @property
    def json(self) -> str:
        """As stored."""
        return json.dumps(self.document, indent=1, ensure_ascii=False) + "\n"

    @property
    def outcome(self) -> str:
        """In a line: rows in, what each stage removed or changed, rows out."""
        words = [f"{self.rows:,} rows"]
        for stage in self.stages:
            name = stage.stage.replace("_", " ")
            if stage.rows_out < stage.rows_in:
                words.append(f"{stage.rows_in - stage.rows_out:,} removed by {name}")
            if stage.changed:
                words.append(f"{stage.changed:,} changed by {name}")
        words.append(f"{self.train_rows:,} to train on")
        if self.validation_rows:
            words.append(f"{self.validation_rows:,} to validate")
        return ", ".join(words)

    @property
    def sha256(self) -> str:
        """Of the document; the order of keys does not matter."""
        return hashlib.sha256(json.dumps(self.document, sort_keys=True).encode()).hexdigest()


def library_versions(settings: CurationSettings) -> dict[str, str]:
    """Those that the stages that run depend on."""
    names = ["datasketch", "numpy"]
    if settings.languages is not None:
        names.append("langdetect")
    if settings.personal_data is not None:
        names += ["presidio-analyzer", "phonenumbers"]
    return {name: version(name) for name in sorted(names)}
