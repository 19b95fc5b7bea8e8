"""Questions drafted by rules alone: the same every time, and no model is asked.

- definition: «X is a Y», «X means Y», «X stands for Y» become «What is X?» (English).
- table: a row «column: value; column: value», as tables are parsed to, becomes «What is the COLUMN
  of KEY?», where the first column is the key.
- cloze: a number, code or name of a sentence is replaced by a gap (any language). It tests whether
  the passage is found and read, not whether it is understood: its words are the passage's own.
"""

import re
from collections.abc import Iterator
from typing import Final

from deployments.evaluation.synthesis.drafts import EXTRACTION, Draft, Method, SourceText
from deployments.gateway.grounding.facts import facts_of
from deployments.gateway.grounding.terms import content_terms, tokenize, words
from ingestion.sentences import sentence_spans

__all__ = ["GAP", "drafts_by_rules"]

GAP: Final = "____"
_RULES: Final = "rules"
_DEFINITION: Final = re.compile(
    r"(?P<subject>[^\W\d_](?:[\w./'’-]*)(?: [\w./'’-]+){0,5}?) "
    r"(?P<verb>is|are|means|stands for) (?P<rest>.+?)[.]?",
    re.DOTALL,
)
_DEFINING: Final = ("a ", "an ", "the ", "one of ", "any ")
_NO_SUBJECT: Final = words(
    """
    it this that these those they there here he she we you i which who what when where why how if
    in on at for from with by as each every both all some any one many most no nothing also and but
    or because while since after before until unless then so thus however
    """
)
_QUESTIONS: Final = {
    "is": "What is {}?",
    "are": "What are {}?",
    "means": "What does {} mean?",
    "stands for": "What does {} stand for?",
}
_LEAST_REST_WORDS: Final = 3
_CELL_CHARACTERS: Final = 80
_SENTENCE_WORDS: Final = (6, 40)
_CODE: Final = re.compile(r"[\w./:-]*[\d_][\w./:-]*[\w]|\d")
_ROW: Final = re.compile(r"[^:;\n]{1,40}: [^;\n]*(?:; [^:;\n]{1,40}: [^;\n]*)+")


def drafts_by_rules(source: SourceText, method: Method) -> Iterator[Draft]:
    """All drafts of a rule over a passage, in the order of its text. `model` is no rule."""
    found = {"definition": _definitions, "table": _table_cells, "cloze": _gaps}[method](source.text)
    for question, answer in found:
        yield Draft(source, method, question, answer, _RULES, EXTRACTION)


def _sentences(text: str) -> Iterator[str]:
    for start, end in sentence_spans(text):
        sentence = " ".join(text[start:end].split())
        if not _ROW.match(sentence):
            yield sentence


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    for sentence in _sentences(text):
        match = _DEFINITION.fullmatch(sentence)
        if match is None:
            continue
        subject, verb, rest = match["subject"], match["verb"], match["rest"]
        first = subject.split()[0]
        if first.casefold() in _NO_SUBJECT or len(rest.split()) < _LEAST_REST_WORDS:
            continue
        if verb in {"is", "are"} and not rest.casefold().startswith(_DEFINING):
            continue
        yield _QUESTIONS[verb].format(_within_a_sentence(subject)), rest


def _within_a_sentence(subject: str) -> str:
    """An article at its beginning loses its capital; a name keeps it."""
    first, _, rest = subject.partition(" ")
    return f"{first.lower()} {rest}" if first in {"The", "A", "An"} and rest else subject


def _table_cells(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if not _ROW.fullmatch(line.strip()):
            continue
        cells = [cell.partition(": ")[::2] for cell in line.strip().split("; ")]
        (_, key), *others = [(name.strip(), value.strip()) for name, value in cells]
        if not key or len(key) > _CELL_CHARACTERS:
            continue
        for name, value in others:
            if name and value and len(value) <= _CELL_CHARACTERS:
                yield f"What is the {name} of {key}?", value


def _gaps(text: str) -> Iterator[tuple[str, str]]:
    least, most = _SENTENCE_WORDS
    for sentence in _sentences(text):
        if not least <= len(sentence.split()) <= most or len(content_terms(sentence)) < least - 2:
            continue
        answer = _blank(sentence)
        if answer is not None:
            yield f"Fill in the gap: {sentence.replace(answer, GAP)}", answer


def _blank(sentence: str) -> str | None:
    """What is worth asking for and stands once: a number or code, else a name."""
    codes = [match.group() for match in _CODE.finditer(sentence)]
    names = facts_of(sentence).names
    written = [token.text for token in tokenize(sentence) if token.term in names]
    for candidate in [*codes, *written]:
        if sentence.count(candidate) == 1 and _stands_alone(sentence, candidate):
            return candidate
    return None


def _stands_alone(sentence: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sentence) is not None
