"""Documents that no parser survives or that take long, and a prompt that the engine chokes on."""

import functools
import io
import zlib
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import openai

from tests.drills.drill import Hit
from tests.drills.scene import Scene
from tests.drills.traffic import MODEL

__all__ = ["LargeDocument", "PoisonDocument", "PoisonPrompt"]

_BOMB_MIB: Final = 1024
"""More than a parser may take."""
_CROWD: Final = 8000
"""Words on one page, nowhere near one another: to find what belongs together takes gigabytes."""
_LARGE_WORDS: Final = 400_000
"""Minutes of the Embedder's work."""
_JUNK_BYTES: Final = 200_000
_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_PATTERNS: Final = (
    "^((a{0,99}){0,99}){0,99}$",
    "^(a|aa|aaa|aaaa)*b{3000}(c|cc)*$",
    "^" + "(x?y?){40}" * 40 + "$",
)


@dataclass(frozen=True, slots=True)
class PoisonDocument:
    """It fails by itself; documents beside it and after it are done."""

    name: str = "poison document"
    bound_s: float = 120.0
    every: int = 1

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return ""

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        kind = random.choice(("bomb", "crowd", "junk"))
        filename, data = _poison(kind, random)
        client = scene.patient
        store, file_id = _attached(client, filename, data)
        probe = scene.ingesting()

        def over() -> bool:
            status = client.vector_stores.files.retrieve(file_id, vector_store_id=store).status
            assert status != "completed", f"{filename} was taken for a good document"
            return status in _ENDED and probe()

        return Hit(f"{kind}: {filename}, {len(data)} bytes", over)


@dataclass(frozen=True, slots=True)
class LargeDocument:
    """It takes minutes; documents that come after it do not, and it can be deleted meanwhile."""

    name: str = "large document"
    bound_s: float = 60.0
    every: int = 2

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return ""

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        client = scene.patient
        data = _large(random)
        store, file_id = _attached(client, "large.txt", data)
        probe = scene.ingesting()

        def over() -> bool:
            if not probe():
                return False
            found = client.vector_stores.files.retrieve(file_id, vector_store_id=store)
            assert found.status == "in_progress", f"large.txt was {found.status} before a small one"
            client.files.delete(file_id)
            return True

        return Hit(f"{len(data)} bytes", over)


@dataclass(frozen=True, slots=True)
class PoisonPrompt:
    """A request with a grammar that is enormous once compiled: it alone may fail."""

    name: str = "poison prompt"
    bound_s: float = 240.0
    every: int = 1

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return ""

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill. What comes of the request itself is its own affair."""
        pattern = random.choice(_PATTERNS)
        wanted: Any = {
            "type": "json_schema",
            "json_schema": {"name": "poison", "schema": {"type": "string", "pattern": pattern}},
        }
        try:
            scene.client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "Go."}],
                max_tokens=4,
                response_format=wanted,
            )
            told = "answered"
        except openai.APIError as error:
            told = str(getattr(error, "status_code", None) or type(error).__name__)
        return Hit(f"pattern {pattern[:24]!r}: {told}", scene.answers)


def _attached(client: openai.OpenAI, filename: str, data: bytes) -> tuple[str, str]:
    """Make a store with one document; the ids of both."""
    store = client.vector_stores.create(name=filename)
    file = client.files.create(file=(filename, io.BytesIO(data)), purpose="assistants")
    client.vector_stores.files.create(vector_store_id=store.id, file_id=file.id)
    return store.id, file.id


def _poison(kind: str, random: Random) -> tuple[str, bytes]:
    if kind == "bomb":
        return "bomb.pdf", _bomb()
    if kind == "junk":
        return "junk.pdf", b"%PDF-1.7\n" + random.randbytes(_JUNK_BYTES) + b"\n%%EOF\n"
    words = (
        b"BT /F 9 Tf %d %d Td (word%d) Tj ET\n"
        % (random.randrange(9999), random.randrange(9999), n)
        for n in range(_CROWD)
    )
    return "crowd.pdf", _pdf(zlib.compress(b"".join(words)))


def _large(random: Random) -> bytes:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ("".join(random.choices(letters, k=random.randint(2, 9))) for _ in range(_LARGE_WORDS))
    return " ".join(
        f"{word.capitalize()}." if n % 12 == 0 else word for n, word in enumerate(words)
    ).encode()


@functools.cache
def _bomb() -> bytes:
    """A PDF of one page, whose content is a gigabyte of blanks, deflated."""
    press = zlib.compressobj(1)
    blanks = b" " * (1 << 20)
    return _pdf(b"".join([*(press.compress(blanks) for _ in range(_BOMB_MIB)), press.flush()]))


def _pdf(packed: bytes) -> bytes:
    """A PDF of one page whose content is `packed`, deflated."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9999 9999] /Contents 4 0 R"
    parts = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page + b" /Resources << /Font << /F 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(packed), packed),
        font,
    )
    body, places = b"%PDF-1.7\n", []
    for number, part in enumerate(parts, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1)
    tail = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return body + head + table + tail % (len(parts) + 1, len(body))
