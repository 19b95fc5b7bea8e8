"""E-mails: who, when, about what, and the body. Attachments are named, not read."""

import io
from collections.abc import Iterator
from email import message_from_bytes, policy

from ingestion.errors import DocumentError
from ingestion.loaders.elements import pieces_of
from ingestion.loaders.pieces import Piece
from ingestion.loaders.tagging import prepare_unstructured

__all__ = ["email_pieces"]

_HEADERS = ("From", "To", "Cc", "Date")


def email_pieces(data: bytes) -> Iterator[Piece]:
    """Yield the subject as title, the headers as one block, then the body."""
    message = message_from_bytes(data, policy=policy.default)
    if not message.keys():
        raise DocumentError("The e-mail has no header lines, so it is none.")
    if subject := str(message.get("Subject", "")):
        yield Piece("title", subject)
    headers = [f"{name}: {message[name]}" for name in _HEADERS if message[name]]
    names = [name for part in message.iter_attachments() if (name := part.get_filename())]
    if names:
        headers.append(f"Attachments: {', '.join(names)}")
    yield Piece("table", "\n".join(headers))
    if message.get_body(("html", "plain")) is not None:
        yield from _body_pieces(data)


def _body_pieces(data: bytes) -> Iterator[Piece]:
    prepare_unstructured()
    from unstructured.partition.email import partition_email

    elements = partition_email(file=io.BytesIO(data), process_attachments=False, languages=[""])
    for piece in pieces_of(elements):
        level = piece.level + 1 if piece.kind == "title" else 0
        yield Piece(piece.kind, piece.text, None, level)
