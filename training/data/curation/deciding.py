"""From the marks of all rows to the rows that stay, the split, and the receipt of both."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.sections.section import Section
from training.data.curation.frames import Frame
from training.data.curation.grouping import Groups, equal_texts, leaders, near_pairs
from training.data.curation.marking import Mark, MarkerPlan
from training.data.curation.receipt import Receipt, Removal, StageReceipt, library_versions
from training.data.curation.splitting import Group, held_out
from training.data.records import digest_of_all
from training.errors import CurationError

__all__ = ["Decision", "decide"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Lines of the rows of each side, in order."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    receipt: Receipt


def decide(marks: Iterable[Mark], plan: MarkerPlan, row_stages: Sequence[str]) -> Decision:
    """Remove duplicates, split, and account for everything. `row_stages`: those that ran.

    Raises CurationError where two rows have one line.
    """
    marks = list(marks)
    if len({mark.line for mark in marks}) < len(marks):
        raise CurationError(
            "Two rows have the same line, by which the receipt would name them.",
            fix="Number the rows of several files anew.",
        )
    return _Deciding(sorted(marks, key=lambda mark: mark.line), plan).decide(row_stages)


class _Deciding:
    def __init__(self, marks: list[Mark], plan: MarkerPlan) -> None:
        self._all = marks
        self._plan = plan
        self._settings = plan.settings
        self._kept = plan.settings.examples_kept
        self._stages: list[StageReceipt] = []

    def decide(self, row_stages: Sequence[str]) -> Decision:
        left = self._all
        for name in row_stages:
            left = self._row_stage(name, left)
        if self._settings.exact_duplicates:
            left = self._first_ones("exact_duplicates", left, equal_texts(left), {})
        near, frame = self._settings.near_duplicates, _framed(self._plan.frame)
        if near.remove:
            found = leaders(left, near)
            left = self._first_ones("near_duplicates", left, found, _dumped(near) | frame)
        validation = self._split(left)
        train = [mark for mark in left if mark.line not in validation]
        held = [mark for mark in left if mark.line in validation]
        return Decision(
            tuple(mark.line for mark in train),
            tuple(mark.line for mark in held),
            self._receipt(train, held),
        )

    def _row_stage(self, name: str, marks: list[Mark]) -> list[Mark]:
        gone = [mark for mark in marks if mark.removed_by == name]
        changed = [mark for mark in marks if mark.changed_by == name]
        found: Counter[str] = Counter()
        for mark in (*gone, *changed):
            found.update(dict(mark.found))
        settings = _dumped(getattr(self._settings, name))
        if name == "decontamination" and self._plan.questions is not None:
            questions = self._plan.questions
            settings |= {"evaluation_rows": questions.rows, "evaluation_sha256": questions.sha256}
            settings |= _framed(questions.frame)
        self._stages.append(
            StageReceipt(
                stage=name,
                rows_in=len(marks),
                rows_out=len(marks) - len(gone),
                removed=_counted(mark.removed_for for mark in gone),
                examples=tuple(Removal(m.line, m.removed_for) for m in gone[: self._kept]),
                changed=len(changed),
                changed_lines=tuple(mark.line for mark in changed[: self._kept]),
                found=dict(sorted(found.items())),
                settings=settings,
            )
        )
        return [mark for mark in marks if mark.removed_by != name]

    def _first_ones(
        self,
        name: str,
        marks: list[Mark],
        groups: Mapping[int, Sequence[int]],
        settings: dict[str, Any],
    ) -> list[Mark]:
        """Keep the first of each group."""
        first_of = {line: first for first, lines in groups.items() for line in lines[1:]}
        gone = sorted(first_of)
        self._stages.append(
            StageReceipt(
                stage=name,
                rows_in=len(marks),
                rows_out=len(groups),
                removed={"duplicate": len(gone)} if gone else {},
                examples=tuple(
                    Removal(line, f"duplicate of line {first_of[line]}")
                    for line in gone[: self._kept]
                ),
                found={"groups": sum(len(lines) > 1 for lines in groups.values())},
                groups=self._several(groups),
                settings=settings,
            )
        )
        return [mark for mark in marks if mark.line in groups]

    def _split(self, marks: list[Mark]) -> set[int]:
        """The lines held out."""
        settings = self._settings.split
        if not settings.validation_share:
            return set()
        groups = Groups(mark.line for mark in marks)
        if not self._settings.near_duplicates.remove:
            for pair in near_pairs(marks, self._settings.near_duplicates):
                groups.join(*pair)
        if settings.keep_questions_together:
            groups.join_equal((mark.line, mark.question) for mark in marks if mark.question)
        texts = {mark.line: mark.text for mark in marks}
        together = groups.all()
        chosen = held_out(
            (
                Group(min(texts[line] for line in lines), tuple(lines))
                for lines in together.values()
            ),
            settings.validation_share,
            self._settings.seed,
        )
        lines = {line for group in chosen for line in group.lines}
        near = self._settings.near_duplicates
        details = (
            {} if near.remove else {"near_duplicates": _dumped(near)} | _framed(self._plan.frame)
        )
        self._stages.append(
            StageReceipt(
                stage="split",
                rows_in=len(marks),
                rows_out=len(marks),
                found={
                    "groups": len(together),
                    "validation_groups": len(chosen),
                    "validation_rows": len(lines),
                },
                groups=self._several(together),
                settings=_dumped(settings) | details,
            )
        )
        return lines

    def _several(self, groups: Mapping[int, Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """The first groups of more than one row."""
        several = (tuple(groups[first]) for first in sorted(groups) if len(groups[first]) > 1)
        return tuple(lines for lines, _ in zip(several, range(self._kept), strict=False))

    def _receipt(self, train: list[Mark], held: list[Mark]) -> Receipt:
        return Receipt(
            rows=len(self._all),
            sha256_in=digest_of_all(mark.digest_in for mark in self._all),
            stages=tuple(self._stages),
            train_rows=len(train),
            train_sha256=digest_of_all(mark.digest_out for mark in train),
            validation_rows=len(held),
            validation_sha256=digest_of_all(mark.digest_out for mark in held),
            seed=self._settings.seed,
            libraries=library_versions(self._settings),
        )


def _dumped(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json")


def _framed(frame: Frame) -> dict[str, Any]:
    """The words that were not compared, where there are any."""
    if not (frame.before or frame.after):
        return {}
    return {"frame": {"before": " ".join(frame.before), "after": " ".join(frame.after)}}


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items()))
