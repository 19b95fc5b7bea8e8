"""Words behind encodings: what is written so that a filter does not read it, and a model does."""

import base64
import binascii
import codecs
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

__all__ = ["unmasked"]

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]+")
_ENTITY: Final = re.compile(r"&(?:#\d{2,7}|#[xX][0-9a-fA-F]{2,6}|[a-zA-Z]{2,8});")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = re.compile(r"(?<!\w)(?:[0-9a-fA-F]{2}[ :]?){12,}(?!\w)|(?:\\x[0-9a-fA-F]{2}){6,}")
_PERCENT: Final = re.compile(r"(?:%[0-9a-fA-F]{2}[\w.-]*){3,}")
_ESCAPES: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4}){4,}")
_BITS: Final = re.compile(r"(?:[01]{8}[ ]?){8,}")
_SPELLED: Final = re.compile(
    r"(?<![^\W_])[^\W\d_]([ \t._*|/·-])[^\W\d_](?:\1[^\W\d_])+"
    r"(?:(?:\1{2,}|\s{2,})[^\W\d_](?:\1[^\W\d_])*)*(?![^\W_])"
)
_SPLIT: Final = re.compile(r"(?<=[a-z])[-_·•|*](?=[a-z]{1,3}(?:[-_·•|*]|\b))", re.IGNORECASE)
_TELLING: Final = ("ignore", "instruct", "system", "prompt", "previous", "forget", "disregard",
                   "reveal", "assistant", "restrict", "pretend")  # fmt: skip
_TURNED: Final = tuple(codecs.encode(word, "rot13") for word in _TELLING)
_REVERSED: Final = tuple(word[::-1] for word in _TELLING)
_MOST: Final = 8
"""Pieces that are decoded; the first ones."""
_LONGEST: Final = 4_000
_READABLE: Final = 0.9


def unmasked(text: str) -> tuple[str, ...]:
    """What else `text` says: each reading once, without `text` itself.

    Undone are Unicode tags, HTML entities, percent signs and escapes, Base64, hexadecimal and
    binary digits, ROT13, words written backwards, and words spelled out or cut to pieces.
    """
    found: dict[str, None] = {}
    for reading in _readings(text):
        if reading and reading != text:
            found[reading] = None
        if len(found) >= _MOST:
            break
    return tuple(found)


def _readings(text: str) -> Iterator[str]:
    if _TAGS.search(text):
        yield _TAGS.sub(lambda m: f" {''.join(chr(ord(c) - 0xE0000) for c in m[0])} ", text)
    if "&" in text and _ENTITY.search(text):
        yield html.unescape(text)
    if _SPELLED.search(text):
        yield _SPELLED.sub(_joined, text)
    if _SPLIT.search(text):
        yield _SPLIT.sub("", text)
    lowered = text.lower()
    if any(word in lowered for word in _TURNED):
        yield codecs.decode(text, "rot13")
    if any(word in lowered for word in _REVERSED):
        yield text[::-1]
    yield from _decoded(text)


def _joined(match: re.Match[str]) -> str:
    """`i g n o r e   a l l` as two words; one long word where nothing parts them."""
    sign = match[1]
    words = re.split(rf"{re.escape(sign)}{{2,}}|\s{{2,}}", match[0])
    return " ".join(word.replace(sign, "") for word in words)


def _decoded(text: str) -> Iterator[str]:
    for match in _BASE64.finditer(text):
        yield _plain(_from_base64(match[0].rstrip("=")))
    for match in _HEX.finditer(text):
        yield _plain(bytes.fromhex(re.sub(r"\\x|[ :]", "", match[0])))
    for match in _BITS.finditer(text):
        bits = match[0].replace(" ", "")
        yield _plain(bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8)))
    if _PERCENT.search(text):
        yield unquote(text)
    if _ESCAPES.search(text):
        yield _ESCAPES.sub(
            lambda m: "".join(chr(int(code, 16)) for code in m[0].split("\\u")[1:]), text
        )


def _from_base64(piece: str) -> bytes:
    if piece.isalpha() and (piece.islower() or piece.istitle()):  # a long word, or a path
        return b""
    try:
        whole = piece[: len(piece) - (len(piece) % 4 == 1)]
        return base64.b64decode(whole + "=" * (-len(whole) % 4), altchars=b"-_", validate=False)
    except binascii.Error:
        return b""


def _plain(data: bytes) -> str:
    """What bytes say, where they are a text with words."""
    try:
        text = data[:_LONGEST].decode()
    except UnicodeDecodeError:
        return ""
    plain = sum(character.isalpha() or character in " .,:;!?'-\n" for character in text)
    return text if plain >= _READABLE * len(text) and len(text.split()) > 1 else ""
