"""One form of a text, so that what was indexed and what is asked for can meet."""

import re
import unicodedata

__all__ = ["normalise"]

# Private-use code points that Word and PowerPoint write for bullets (Symbol and Wingdings fonts).
_BULLETS = dict.fromkeys((0xF0B7, 0xF0A7, 0xF0D8, 0xF076, 0xF0FC), "•")
# C0 and C1 controls but tab and line feed, zero-width space, word joiner, byte order mark,
# bidirectional overrides and isolates, lone surrogates, non-characters. Zero-width joiner and
# non-joiner stay: emoji, Persian and Indic scripts are spelled with them.
_REMOVED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\u202a-\u202e\u2066-\u2069"
    "\ufeff\ufffe\uffff\ufff9-\ufffb]|[\ud800-\udfff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029\v\f]")
_SOFT_HYPHEN = re.compile("\u00ad[ \t]*\n[ \t]*|\u00ad")
_HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u2010]\n[ \t]*(?=([^\W\d_]))")
_SPACES = re.compile(r"(?<=\S)[^\S\n]+(?=\S)")
_SPACE_AT_LINE_END = re.compile(r"[^\S\n]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalise(text: str) -> str:
    """Return `text` in NFKC, without control characters, hyphenation and needless space.

    Ligatures are taken apart (NFKC), words hyphenated at a line end are joined, runs of spaces
    become one (indentation stays), runs of blank lines become one, outer space goes. The result is
    a fixed point: normalising it again changes nothing.
    """
    text = _LINE_ENDS.sub("\n", text.translate(_BULLETS))
    text = _REMOVED.sub("", _SOFT_HYPHEN.sub("", text))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = _SPACE_AT_LINE_END.sub("", text)
    text = _HYPHENATED.sub(_join_hyphenated, text)
    text = _SPACES.sub(" ", text)
    return _BLANK_LINES.sub("\n\n", text).strip()


def _join_hyphenated(match: re.Match[str]) -> str:
    """Drop the hyphen before a small letter; before a capital it belongs to a compound."""
    return "" if match.group(1).islower() else match.group().rstrip(" \t")
