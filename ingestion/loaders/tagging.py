"""A light stand-in for the part of `unstructured` that loads a spaCy model.

`unstructured` asks `unstructured.nlp.tokenize` three questions, only to tell titles from prose:
where sentences end, which words there are, and whether one is a verb. Its own answer costs a model
from GitHub, spaCy and (where installed) torch in memory, and 30 s for 200 kB of text. Structure
says most of it: here a text is prose when it ends like a sentence.
"""

import os
import re
import sys
from functools import lru_cache
from types import ModuleType

from ingestion.sentences import sentence_spans

__all__ = ["pos_tag", "prepare_unstructured", "sent_tokenize", "word_tokenize"]

_REPLACED = "unstructured.nlp.tokenize"
_QUESTIONS = ("pos_tag", "sent_tokenize", "word_tokenize")
_WORD = re.compile(r"\w+|[^\w\s]")
_PROSE_END = re.compile(r"[.!?:;,。！？؟।…][\"'”’»)\]]*\s*\Z")


def prepare_unstructured() -> None:
    """Put the stand-in in place, telemetry off. Call it before importing a partitioner."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("UNSTRUCTURED_DISABLE_NOTICE", "1")
    here = sys.modules[__name__]
    if _REPLACED not in sys.modules:
        stand_in = ModuleType(_REPLACED, __doc__)
        for question in _QUESTIONS:
            setattr(stand_in, question, getattr(here, question))
        sys.modules[_REPLACED] = stand_in


def sent_tokenize(text: str) -> list[str]:
    """Return the sentences of `text`."""
    return list(_sentences(text))


@lru_cache(maxsize=8)
def _sentences(text: str) -> tuple[str, ...]:
    """Answer the same question, asked several times about each element, once."""
    return tuple(text[start:end] for start, end in sentence_spans(text))


def word_tokenize(text: str) -> list[str]:
    """Return the words and marks of `text`."""
    return _WORD.findall(text)


def pos_tag(text: str) -> list[tuple[str, str]]:
    """Return one word with the tag VB where `text` ends like a sentence, so has a verb."""
    return [("", "VB" if _PROSE_END.search(text) else "NN")]
