"""Prompts and their versions in the records: found, made, forgotten."""

import re
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster import audit
from cluster.ids import new_id
from cluster.records import PromptLabel, PromptRecord, PromptVersion, now
from deployments.errors import Conflict, InvalidRequest, NotFound
from deployments.prompts.body import PromptBody, digest_of

__all__ = [
    "LATEST",
    "PRODUCTION",
    "add_version",
    "create_prompt",
    "delete_prompt",
    "find_prompt",
    "find_version",
    "is_digest",
    "missing_prompt",
    "missing_version",
    "require_prompt",
    "require_version",
    "split_reference",
]

PRODUCTION: Final = "production"
"""The label that answers where a reference names no version."""
LATEST: Final = "latest"
"""Stands for the last version; it is no label, and none may have its name."""
_SHOWN: Final = 8
_DIGEST: Final = re.compile(r"[0-9a-f]{12}")
_ID: Final = re.compile(r"prompt_[0-9a-f]{32}")
_RESERVED: Final = frozenset({"import"})


def split_reference(reference: str) -> tuple[str, str | None]:
    """The name and the version of `name@version`; None where there is no version."""
    name, at, version = reference.partition("@")
    return name, version if at else None


def is_digest(version: str | None) -> bool:
    """Whether a version is named by its digest, which no label and no number looks like."""
    return version is not None and _DIGEST.fullmatch(version) is not None


def find_prompt(session: Session, key: str) -> PromptRecord | None:
    """The prompt with this name or id, unless it is deleted."""
    row = session.scalar(
        select(PromptRecord).where(
            (PromptRecord.id if _ID.fullmatch(key) else PromptRecord.name) == key,
        )
    )
    return row if row is not None and row.deleted_at is None else None


def require_prompt(session: Session, key: str) -> PromptRecord:
    """The prompt with this name or id. Raises NotFound that lists those there are."""
    row = find_prompt(session, key)
    if row is None:
        raise missing_prompt(session, key)
    return row


def find_version(session: Session, key: str, version: str | None) -> PromptVersion | None:
    """The version of the prompt with this name or id, by number, label or digest.

    None stands for the label `production` and, where the prompt has none, for the last version. By
    its digest a deleted prompt's version is found too: traces and pinned references name it.
    """
    if is_digest(version):
        owner = PromptVersion.prompt_id if _ID.fullmatch(key) else PromptVersion.name
        return session.scalar(
            select(PromptVersion).where(
                owner == key,
                PromptVersion.digest == version,
            )
        )
    record = find_prompt(session, key)
    number = None if record is None else _number(session, record, version)
    return None if number is None or record is None else _version(session, record.id, number)


def require_version(session: Session, record: PromptRecord, version: str | None) -> PromptVersion:
    """A version of `record`. Raises NotFound that lists those there are."""
    row = find_version(session, record.id, version)
    if row is None:
        raise missing_version(session, record, version or PRODUCTION)
    return row


def create_prompt(
    session: Session, name: str, description: str, metadata: dict[str, Any]
) -> PromptRecord:
    """Make a prompt without versions; a deleted one of this name goes on where it was.

    Raises Conflict where there is one.
    """
    if _ID.fullmatch(name) or name in _RESERVED:
        raise InvalidRequest(
            f"{name!r} cannot be a prompt's name: it is kept for something else.",
            param="name",
            code="invalid_value",
        )
    row = session.scalar(select(PromptRecord).where(PromptRecord.name == name))
    if row is not None and row.deleted_at is None:
        raise _exists(name)
    again = row is not None
    if row is None:
        row = PromptRecord(
            id=new_id("prompt"),
            name=name,
            latest=0,
            created_at=now(),
        )
        session.add(row)
    row.description, row.meta = description, metadata
    row.deleted_at, row.updated_at = None, now()
    try:
        session.flush()
    except IntegrityError:
        raise _exists(name) from None
    audit.record(session, "prompt.restored" if again else "prompt.created", row.id, name=name)
    return row


def add_version(
    session: Session, record: PromptRecord, body: PromptBody, comment: str | None
) -> tuple[PromptVersion, bool]:
    """The version with this body, and whether it was made now.

    Raises Conflict where another one is made at the same moment.
    """
    digest = digest_of(body)
    found = session.scalar(
        select(PromptVersion).where(
            PromptVersion.prompt_id == record.id, PromptVersion.digest == digest
        )
    )
    if found is not None:
        return found, False
    number, at = record.latest + 1, now()
    counted = session.execute(
        update(PromptRecord)
        .where(PromptRecord.id == record.id, PromptRecord.latest == record.latest)
        .values(latest=number, updated_at=at)
    )
    row = PromptVersion(
        prompt_id=record.id,
        number=number,
        name=record.name,
        digest=digest,
        body=body.to_json(),
        comment=comment,
        created_at=at,
    )
    session.add(row)
    try:
        if not getattr(counted, "rowcount", 0):
            raise _raced(record.name)
        session.flush()
    except IntegrityError:
        raise _raced(record.name) from None
    audit.record(
        session,
        "prompt.version_created",
        record.id,
        name=record.name,
        number=number,
        version=digest,
        comment=comment,
    )
    return row, True


def delete_prompt(session: Session, record: PromptRecord) -> None:
    """Forget a prompt and its labels. Its versions stay, and so does its labels' history."""
    session.execute(delete(PromptLabel).where(PromptLabel.prompt_id == record.id))
    record.deleted_at = record.updated_at = now()
    audit.record(session, "prompt.deleted", record.id, name=record.name)


def missing_prompt(session: Session, key: str, others: tuple[str, ...] = ()) -> NotFound:
    """The error that says which prompts there are, `others` among them."""
    names = session.scalars(
        select(PromptRecord.name)
        .where(PromptRecord.deleted_at.is_(None))
        .order_by(PromptRecord.updated_at.desc())
        .limit(_SHOWN)
    )
    known = ", ".join(dict.fromkeys((*names, *others))) or "none yet"
    return NotFound(
        f"There is no prompt {key[:80]!r}. There are: {known}.",
        param="prompt",
        code="prompt_not_found",
    )


def missing_version(session: Session, record: PromptRecord, version: str) -> NotFound:
    """The error that says which versions and labels a prompt has."""
    labels = session.scalars(
        select(PromptLabel.label)
        .where(PromptLabel.prompt_id == record.id)
        .order_by(PromptLabel.label)
        .limit(_SHOWN)
    )
    return NotFound(
        f"The prompt {record.name} has no version {version[:80]!r}. It has the numbers 1 to "
        f"{record.latest}, and the labels: {', '.join(labels) or 'none'}.",
        param="prompt",
        code="prompt_version_not_found",
    )


def _number(session: Session, record: PromptRecord, version: str | None) -> int | None:
    if version == LATEST:
        return record.latest
    if version is not None and version.isdecimal():
        return int(version) if len(version) < 10 else None
    label = session.get(PromptLabel, (record.id, version or PRODUCTION))
    if label is None:
        return record.latest if version is None else None
    return label.number


def _version(session: Session, prompt_id: str, number: int) -> PromptVersion | None:
    return session.get(PromptVersion, (prompt_id, number))


def _exists(name: str) -> Conflict:
    return Conflict(
        f"There is a prompt {name} already; make a version of it instead.",
        param="name",
        code="prompt_exists",
    )


def _raced(name: str) -> Conflict:
    return Conflict(
        f"Another version of the prompt {name} was made at the same moment.", code="version_raced"
    )
