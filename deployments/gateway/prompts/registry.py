"""What the routes of the prompt registry do in one transaction each."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import PromptLabel, PromptRecord, PromptVersion
from deployments.gateway.prompting import check_grounded
from deployments.gateway.prompts.objects import LabelObject, PromptObject, VersionObject
from deployments.gateway.services import Services
from deployments.prompts import Prompt
from deployments.prompts.body import PromptBody
from deployments.prompts.chains import pin_steps
from deployments.prompts.labels import LabelMove, move_label
from deployments.prompts.versions import (
    PRODUCTION,
    add_version,
    create_prompt,
    find_prompt,
    require_version,
)

__all__ = [
    "imported",
    "moved_label",
    "new_version",
    "prompt_objects",
    "version_objects",
    "with_version",
]


def labels_of(session: Session, prompt_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Where each label of each of these prompts stands, by the prompt's id."""
    found: dict[str, dict[str, int]] = {prompt_id: {} for prompt_id in prompt_ids}
    rows = select(PromptLabel).where(PromptLabel.prompt_id.in_(prompt_ids))
    for row in session.scalars(rows.order_by(PromptLabel.label)):
        found[row.prompt_id][row.label] = row.number
    return found


def prompt_objects(session: Session, records: Sequence[PromptRecord]) -> list[PromptObject]:
    """Prompts with their labels."""
    labels = labels_of(session, [record.id for record in records])
    return [PromptObject.of(record, labels[record.id]) for record in records]


def version_objects(
    session: Session, rows: Sequence[PromptVersion], *, whole: bool = False
) -> list[VersionObject]:
    """Versions with the labels that stand at them."""
    labels = labels_of(session, list({row.prompt_id for row in rows}))
    return [VersionObject.of(row, _at(labels[row.prompt_id], row), whole=whole) for row in rows]


def _at(labels: Mapping[str, int], row: PromptVersion) -> list[str]:
    return sorted(label for label, number in labels.items() if number == row.number)


def new_version(
    session: Session,
    parts: Services,
    record: PromptRecord,
    body: PromptBody,
    comment: str | None,
    label: str | None,
) -> VersionObject:
    """Make a version, or find the one with this body, and let a label stand at it."""
    said = pin_steps(session, parts.prompts.library, body)
    row, created = add_version(session, record, said, comment)
    standing = labels_of(session, [record.id])[record.id]
    if label is not None and standing.get(label) != row.number:
        moved_label(session, parts, record, LabelMove(label, row.number, comment))
        standing[label] = row.number
    return VersionObject.of(row, _at(standing, row), created=created)


def imported(
    session: Session,
    parts: Services,
    name: str,
    description: str,
    body: PromptBody,
    *,
    comment: str | None,
    label: str | None,
) -> PromptObject:
    """Make a version of a prompt, and the prompt where there is none."""
    record = find_prompt(session, name) or create_prompt(session, name, description, {})
    version = new_version(session, parts, record, body, comment, label)
    return with_version(session, record, version)


def with_version(session: Session, record: PromptRecord, version: VersionObject) -> PromptObject:
    """A prompt as it stands after a version of it was made."""
    session.refresh(record)
    (found,) = prompt_objects(session, [record])
    return found.model_copy(update={"version": version})


def moved_label(
    session: Session, parts: Services, record: PromptRecord, move: LabelMove
) -> LabelObject:
    """Move a label. Raises InvalidRequest where grounded answers could not use the version."""
    version = require_version(session, record, str(move.target))
    if record.name == parts.settings.grounding.prompt and move.label == PRODUCTION:
        body = PromptBody.model_validate(version.body)
        check_grounded(Prompt(version.name, body, version.digest))
    before = session.get(PromptLabel, (record.id, move.label))
    previous = None if before is None else before.number
    return LabelObject.of(move_label(session, record, move), version, previous)
