"""JSON that guards read: the arguments of tool calls, which stay JSON whatever is masked in them.

Checks read a view of the JSON: its strings without their escapes, everything else as it stands.
What they find there is masked string by string: `{"to": "a@b.example"}` becomes
`{"to": "<EMAIL_ADDRESS>"}`. Of a number or a name without quotes the whole becomes a string.
Braces, commas and the quotes around strings stay, also where a find goes across them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from deployments.guards.masking import masked_text
from deployments.guards.verdict import Span

__all__ = ["JsonReader", "Token", "json_tokens", "json_view", "masked_json"]

_QUOTE: Final = "\ufdd0"
"""A quote inside a string, in the view: a character that Unicode keeps for use within programs."""
_UNKNOWN: Final = "\ufffd"
_ESCAPE: Final = re.compile(
    r'\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|["\\/bfnrt])'
)
_BEGUN: Final = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?\Z"
)
"""An escape whose end may be to come."""
_PLAIN: Final = re.compile(r'[^"\\]+')
_BARE: Final = re.compile(r'[^\s\[\]{}:,"]+')
_IN_STRING: Final = re.compile(r'[^"]+')


class JsonReader:
    """Turns pieces of one JSON text into pieces of its view. Broken JSON is read as it can be."""

    def __init__(self) -> None:
        self._inside = False
        self._begun = ""

    def feed(self, piece: str) -> str:
        """The view of the next piece; half an escape waits for its other half."""
        text, self._begun = self._begun + piece.replace(_QUOTE, _UNKNOWN), ""
        parts: list[str] = []
        at = 0
        while at < len(text):
            if plain := _PLAIN.match(text, at):
                parts.append(plain.group())
                at = plain.end()
            elif text[at] == '"':
                self._inside = not self._inside
                parts.append('"')
                at += 1
            elif not self._inside:
                parts.append("\\")
                at += 1
            elif _BEGUN.match(text, at):
                self._begun = text[at:]
                break
            elif escape := _ESCAPE.match(text, at):
                parts.append(_read(escape.group()))
                at = escape.end()
            else:  # an escape that JSON does not know
                parts.append("\\")
                at += 1
        return "".join(parts)

    def finish(self) -> str:
        """The view of what never ended."""
        last, self._begun = self._begun, ""
        return last.replace('"', _QUOTE)


@dataclass(frozen=True, slots=True)
class Token:
    """`view[start:end]`, and what it is: of a string's inside, of a bare word, or around them."""

    start: int
    end: int
    kind: Literal["text", "bare", "frame"]


def json_view(text: str) -> str:
    """The view of a JSON text."""
    reader = JsonReader()
    return reader.feed(text) + reader.finish()


def json_tokens(view: str, *, inside: bool = False) -> Iterator[Token]:
    """Split a view, or a piece of one that begins `inside` a string."""
    at = 0
    while at < len(view):
        if inside and (text := _IN_STRING.match(view, at)):
            yield Token(at, text.end(), "text")
            at = text.end()
        elif view[at] == '"':
            yield Token(at, at + 1, "frame")
            inside, at = not inside, at + 1
        elif bare := _BARE.match(view, at):
            yield Token(at, bare.end(), "bare")
            at = bare.end()
        else:
            yield Token(at, at + 1, "frame")
            at += 1


def masked_json(view: str, spans: Sequence[Span], *, inside: bool = False) -> str:
    """Write a view, or a piece of one that begins `inside` a string, as JSON with masks in it."""
    parts: list[str] = []
    for token in json_tokens(view, inside=inside):
        piece = view[token.start : token.end]
        here = [span for span in spans if span.start < token.end and span.end > token.start]
        if token.kind == "bare" and here:
            parts.append(f'"<{here[0].kind}>"')
        elif token.kind == "text":
            parts.append(_written(masked_text(piece, [_clipped(span, token) for span in here])))
        else:
            parts.append(piece)
    return "".join(parts)


def _clipped(span: Span, token: Token) -> Span:
    start, end = max(span.start, token.start), min(span.end, token.end)
    return Span(start - token.start, end - token.start, span.kind)


def _read(escape: str) -> str:
    """The character of an escape, as the view has it."""
    character = str(json.loads(f'"{escape}"'))
    if character == '"':
        return _QUOTE
    if character == _QUOTE or "\ud800" <= character <= "\udfff":
        return _UNKNOWN
    return character


def _written(text: str) -> str:
    return json.dumps(text.replace(_QUOTE, '"'), ensure_ascii=False)[1:-1]
