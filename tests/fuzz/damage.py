"""Ways to damage a file: as networks do, as disks do, and as people do who mean harm."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Final

__all__ = ["damaged"]

Damage = Callable[[bytes, random.Random], bytes]
_UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, EOFError,
    RuntimeError,
)  # fmt: skip
_NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_LARGEST: Final = 4 * 1024**2
_BILLION_LAUGHS: Final = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><x>&j;</x>"
)
_OUTSIDE: Final = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">'
    b'<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd">%p;]><x>&e;</x>'
)
_DEEP: Final = (
    b"<div>" * 20_000, b"[" * 100_000, b'{"a":' * 50_000, b"> " * 5000 + b"x", b"- " * 3000 + b"x",
    b"*" * 20_000, b"(" * 20_000, b"<table><tr><td>" * 3000, b"# " * 5000, b"|" * 20_000 + b"\n|-",
)  # fmt: skip
_TOKENS: Final = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n" * 500, b'"', b"'", b"<",
    b"&#0;", b"&#xD800;", b"&#99999999;", b"<!--", b"]]>", b"<![CDATA[", b"endobj", b"stream\n",
    b"/Length 99999999", b"/Length -1", b"/Kids [1 0 R]", b"/Parent 1 0 R", b"/Count 2147483647",
    b"/Filter [/FlateDecode /FlateDecode /ASCIIHexDecode]", b"1 0 obj", b"xref\n0 99999999\n",
    b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" * 60, b"Content-Transfer-Encoding: x\n",
    b"Subject: =?utf-8?b?////?=\n", b"=?bogus?q?x?=", b"\xf0\x9f\x92\xa9" * 50, "\u202e".encode(),
)  # fmt: skip


def damaged(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """`data` damaged one to four times; where it is a ZIP, most often inside."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        if data[:4] == b"PK\x03\x04" and chance.random() < 0.7:
            data = _inside_zip(data, chance)
        elif chance.random() < 0.1:
            data = _spliced(data, chance.choice(others), chance)
        else:
            data = chance.choice(_DAMAGES)(data, chance)
    return data[:_LARGEST]


def _place(data: bytes, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _flip(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data or b"\0")
    for _ in range(chance.choice((1, 3, 20, 200))):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)]


def _remove(data: bytes, chance: random.Random) -> bytes:
    start = _place(data, chance)
    return data[:start] + data[start + chance.choice((1, 16, 256, 4096)) :]


def _double(data: bytes, chance: random.Random) -> bytes:
    start = _place(data, chance)
    piece = data[start : start + chance.choice((1, 16, 256, 4096))]
    return data[:start] + piece * chance.choice((2, 10, 200)) + data[start:]


def _insert(data: bytes, chance: random.Random) -> bytes:
    start = _place(data, chance)
    return data[:start] + chance.choice(_TOKENS) + data[start:]


def _nest(data: bytes, chance: random.Random) -> bytes:
    start = _place(data, chance)
    return data[:start] + chance.choice(_DEEP) + data[start:]


def _noise(data: bytes, chance: random.Random) -> bytes:
    start = _place(data, chance)
    size = chance.choice((8, 64, 1024))
    return data[:start] + chance.randbytes(size) + data[start + size :]


def _length(data: bytes, chance: random.Random) -> bytes:
    """Write a number of 2 or 4 bytes where one may stand."""
    start = _place(data, chance)
    number = struct.pack(chance.choice("<>") + "I", chance.choice(_NUMBERS))
    size = chance.choice((2, 4))
    return data[:start] + number[:size] + data[start + size :]


def _digits(data: bytes, chance: random.Random) -> bytes:
    """Change the numbers that are written in digits."""
    start = _place(data, chance)
    for at in range(start, min(len(data), start + 500)):
        if data[at : at + 1].isdigit():
            end = at
            while data[end : end + 1].isdigit():
                end += 1
            number = chance.choice((b"0", b"-1", b"1e9", b"99999999999", b"2147483648", b"0.1"))
            return data[:at] + number + data[end:]
    return data


def _entities(data: bytes, chance: random.Random) -> bytes:
    """Put a document type with entities before the first element, or be one."""
    bad = chance.choice((_BILLION_LAUGHS, _OUTSIDE))
    if chance.random() < 0.5:
        return bad
    head, _, root = bad.partition(b"<x>")
    declared = head[head.index(b"<!DOCTYPE") :]
    use = root.removesuffix(b"</x>")
    start = data.find(b"?>") + 2 if data.startswith(b"<?xml") else 0
    close = data.find(b">", start) + 1
    return data[:start] + declared + data[start:close] + use + data[close:]


_DAMAGES: Final[tuple[Damage, ...]] = (
    _flip, _flip, _cut, _remove, _double, _insert, _insert, _nest, _noise, _length, _digits,
    _entities,
)  # fmt: skip


def _spliced(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _inside_zip(data: bytes, chance: random.Random) -> bytes:
    """Damage, rename, double, drop or lie about an entry."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        NotImplementedError,
        EOFError,
        RuntimeError,
        zlib.error,
    ):
        return _flip(data, chance)
    if not entries:
        return data
    at = chance.randrange(len(entries))
    name, content = entries[at]
    match chance.choice(
        ("damage",) * 6 + ("rename", "double", "drop", "bomb", "zip", "many", "lie")
    ):
        case "damage":
            entries[at] = (name, chance.choice(_DAMAGES)(content, chance))
        case "rename":
            entries[at] = (chance.choice(_NAMES), content)
        case "double":
            entries.append((name, content[::-1]))
        case "drop":
            del entries[at]
        case "bomb":
            entries.append((chance.choice((name, "bomb.xml")), bytes(20 * 1024**2)))
        case "zip":
            entries.append(("inner.zip", data))
        case "many":
            entries += [(f"n{number}.md", b"x") for number in range(chance.choice((50, 12_000)))]
        case _:
            return _lied(_zipped(entries), chance)
    return _zipped(entries)


_NAMES: Final = (
    "../../etc/passwd", "/etc/passwd", "..\\..\\x", "a\x01b", "word/document.xml", "x.zip", "",
    "xl/workbook.xml", "ppt/presentation.xml", "META-INF/container.xml", "C:\\x", "a" * 5000,
)  # fmt: skip


def _zipped(entries: list[tuple[str, bytes]]) -> bytes:
    import warnings

    made = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice is what is wanted
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                entry = zipfile.ZipInfo(name or "-")  # with no time of its own
                archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _lied(data: bytes, chance: random.Random) -> bytes:
    """Change a field of a header: sizes, method, flags, CRC."""
    signature = chance.choice((b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"))
    start = data.find(signature, chance.randrange(len(data)))
    start = data.find(signature) if start < 0 else start
    at = start + chance.randrange(4, 30)
    number = struct.pack("<I", chance.choice(_NUMBERS))
    return data[:at] + number[: chance.choice((1, 2, 4))] + data[at + 4 :]
