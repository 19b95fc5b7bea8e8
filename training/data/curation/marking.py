"""What can be said of one row by itself: its verdicts, and what it is compared with others by.

A `Mark` is small and holds no text: a cluster's workers make them, one process decides over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from training.data.curation.contamination import Contamination, Questions
from training.data.curation.frames import Frame, unframed
from training.data.curation.languages import LanguageFilter
from training.data.curation.lengths import LengthFilter, TokenCount
from training.data.curation.personal_data import PersonalData
from training.data.curation.signatures import Signatures
from training.data.curation.stages import RowStage
from training.data.records import digest
from training.data.rows import Row, kind_of
from training.data.settings import CurationSettings
from training.data.texts import normalised, question, turns
from training.examples import Example, TextExample

__all__ = ["Mark", "Marker", "MarkerPlan", "row_stages"]


@dataclass(frozen=True, slots=True)
class MarkerPlan:
    """All that a `Marker` needs; goes to every worker."""

    settings: CurationSettings
    frame: Frame
    questions: Questions | None
    """Of the evaluation set, where there is one."""
    count: TokenCount | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A row without its text."""

    line: int
    digest_in: bytes
    digest_out: bytes
    """After what was masked."""
    removed_by: str
    """The stage; empty when the row stays."""
    removed_for: str
    changed_by: str
    """The stage that changed the row; empty when none did."""
    found: tuple[tuple[str, int], ...]
    """What that stage found."""
    text: bytes
    """Hash of all that is said, in normal form; empty when the row goes."""
    question: bytes
    """Hash of what is answered, without the frame; empty where that leaves nothing."""
    signature: bytes
    """MinHash signature; empty when the row goes."""


class Marker:
    """Judges rows stage by stage, then marks those that stay."""

    def __init__(self, plan: MarkerPlan) -> None:
        self._stages = row_stages(plan)
        self._frame = plan.frame
        self._signatures = Signatures(plan.settings.near_duplicates, plan.frame)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that run, in their order."""
        return tuple(stage.name for stage in self._stages)

    def mark(self, row: Row) -> tuple[Example, Mark]:
        """The row as it leaves the stages, and its mark."""
        example, before = row.example, digest(row.example)
        changed_by, found = "", {}
        for stage in self._stages:
            verdict = stage.judge(example)
            if verdict.found:
                changed_by, found = stage.name, dict(verdict.found)
            if verdict.removed_for:
                return example, self._gone(row, before, stage.name, verdict.removed_for, found)
            example = verdict.example
        mark = Mark(
            line=row.line,
            digest_in=before,
            digest_out=before if example is row.example else digest(example),
            removed_by="",
            removed_for="",
            changed_by=changed_by,
            found=tuple(sorted(found.items())),
            text=_text_hash(example),
            question=_question_hash(example, self._frame),
            signature=self._signatures.of(example),
        )
        return example, mark

    def _gone(
        self, row: Row, before: bytes, stage: str, reason: str, found: dict[str, int]
    ) -> Mark:
        counts = tuple(sorted(found.items()))
        return Mark(row.line, before, b"", stage, reason, "", counts, b"", b"", b"")


def row_stages(plan: MarkerPlan) -> list[RowStage]:
    """The stages that run, in their order. Raises CurationError where one cannot."""
    settings, stages = plan.settings, list[RowStage]()
    if settings.lengths is not None:
        stages.append(LengthFilter(settings.lengths, plan.count))
    if settings.languages is not None:
        stages.append(LanguageFilter(settings.languages))
    if settings.decontamination is not None and plan.questions is not None:
        stages.append(Contamination(plan.questions))
    if settings.personal_data is not None:
        stages.append(PersonalData(settings.personal_data))
    return stages


def _text_hash(example: Example) -> bytes:
    parts: list[str] = [kind_of(example)]
    for turn in turns(example):
        parts += [turn.role, normalised(turn.text)]
    if not isinstance(example, TextExample):
        parts.append(repr(example.tools))
    return _hash(parts)


def _question_hash(example: Example, frame: Frame) -> bytes:
    asked = unframed(question(example), frame)
    return _hash(asked) if asked else b""


def _hash(parts: Sequence[str]) -> bytes:
    """Of the parts and where each ends."""
    whole = sha256()
    for part in parts:
        data = part.encode()
        whole.update(len(data).to_bytes(8, "big"))
        whole.update(data)
    return whole.digest()
