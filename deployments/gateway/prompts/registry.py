"""What the routes of the prompt registry do in one transaction each."""

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

__all__ = ["imported", "labels_at", "labels_of", "moved_label", "new_version", "prompt_object"]


def labels_of(session: Session, record: PromptRecord) -> dict[str, int]:
    """Where each label of a prompt stands."""
    rows = session.scalars(
        select(PromptLabel).where(PromptLabel.prompt_id == record.id).order_by(PromptLabel.label)
    )
    return {row.label: row.number for row in rows}


def labels_at(session: Session, row: PromptVersion) -> list[str]:
    """The labels that stand at a version."""
    return list(
        session.scalars(
            select(PromptLabel.label)
            .where(PromptLabel.prompt_id == row.prompt_id, PromptLabel.number == row.number)
            .order_by(PromptLabel.label)
        )
    )


def prompt_object(
    session: Session, record: PromptRecord, version: VersionObject | None = None
) -> PromptObject:
    """A prompt with its labels."""
    return PromptObject.of(record, labels_of(session, record), version)


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
    if label is not None and labels_of(session, record).get(label) != row.number:
        moved_label(session, parts, record, LabelMove(label, row.number, comment))
    session.flush()
    return VersionObject.of(row, labels_at(session, row), created=created)


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
    session.refresh(record)
    return prompt_object(session, record, version)


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
