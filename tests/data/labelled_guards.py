"""The labelled texts that guards are measured on: `guards/NAME.jsonl`, tuning and held-out parts.

`guards/stranger/NAME.jsonl` was written by somebody who had seen neither the guards nor those
texts, `guards/stranger/second/NAME.jsonl` by somebody else, after the guards had been measured on
the first; whoever works on the guards reads neither: they say what to expect of others' attacks.

Secrets are written as forms, `{alnum:36}`, and filled by a seeded generator, so that no scanner of
repositories takes them for real ones; the stranger's are in Base64 for the same reason.
"""

import base64
import json
import random
import re
import string
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

__all__ = ["GUARDS", "Labelled", "labelled"]

_FOLDER: Final = Path(__file__).with_name("guards")
GUARDS: Final = ("injection", "jailbreak", "personal_data", "toxicity", "secrets")
_FORM: Final = re.compile(r"\{(\w+):(\d+)\}")
_ALPHABETS: Final = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "upper": string.ascii_uppercase + string.digits,
    "digits": string.digits,
    "hex": "0123456789abcdef",
    "b64": string.ascii_letters + string.digits + "+/",
    "url": string.ascii_letters + string.digits + "_-",
}


@dataclass(frozen=True)
class Labelled:
    """A text, and whether the guard is to act on it."""

    text: str
    label: bool
    place: Literal["input", "passages", "output"]
    language: str
    split: Literal["tuning", "held_out", "stranger", "second_stranger"]


def labelled(guard: str, split: str | None = None) -> list[Labelled]:
    """The texts of a guard, of one part or of all."""
    drawn = random.Random(f"guards/{guard}")
    lines = (_FOLDER / f"{guard}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = [Labelled(**{**row, "text": _filled(row["text"], drawn)}) for row in rows]
    found += _strangers(guard, "stranger", _FOLDER / "stranger")
    found += _strangers(guard, "second_stranger", _FOLDER / "stranger" / "second")
    return [row for row in found if split in (None, row.split)]


def _strangers(
    guard: str, split: Literal["stranger", "second_stranger"], folder: Path
) -> list[Labelled]:
    file = folder / f"{guard}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    rows = [json.loads(line) for line in lines]
    return [
        Labelled(
            row["text"] if "text" in row else base64.b64decode(row["base64"]).decode(),
            row["label"],
            row["place"],
            "",
            split,
        )
        for row in rows
    ]


def _filled(text: str, drawn: random.Random) -> str:
    def fill(form: re.Match[str]) -> str:
        kind, size = form[1], int(form[2])
        if kind == "uuid":
            return str(uuid.UUID(int=drawn.getrandbits(128), version=4))
        if kind == "mixed":
            return "".join(drawn.choices(_ALPHABETS["alnum"], k=size - 4)) + "k7#Q"
        return "".join(drawn.choices(_ALPHABETS[kind], k=size))

    return _FORM.sub(fill, text)
