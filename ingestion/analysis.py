"""Text to the terms that BM25 counts, on the client: Milvus Lite has no stemmer.

The same function works on passages and on queries, so that both meet. Terms hold word characters
only; joined by spaces, any server's plainest tokenizer gives them back.
"""

import re
import threading
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, Final

__all__ = ["analyse", "analyse_query", "terms"]

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_CJK: Final = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿가-힯]+")
_DEFAULT_LANGUAGE: Final = "en"
_MAX_TERM: Final = 64
_STEMMING: Final = threading.Lock()  # Snowball's stemmers keep the word in themselves

_STEMMERS: Final = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""ISO 639-1 code → Snowball's name."""

_STOP_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "a about above after again against all am an and any are as at be because been before "
        "being below between both but by can could did do does doing down during each few for "
        "from further had has have having he her here hers herself him himself his how i if in "
        "into is it its itself just me more most must my myself no nor not of off on once only "
        "or other our ours ourselves out over own same shall she should so some such than that "
        "the their theirs them themselves then there these they this those through to too under "
        "until up very was we were what when where which while who whom why will with would you "
        "your yours yourself yourselves ",
    )
)
"""English function words. Other languages rely on BM25's own weighting of common words."""


def terms(text: str, language: str | None = None) -> list[str]:
    """Return the terms of `text`, in order, repeats included.

    NFKC and lower case; words stemmed (Snowball) in `language`, an ISO 639-1 code, or in English;
    Chinese, Japanese and Korean runs as overlapping pairs of characters.
    """
    code = _known(language)
    found: list[str] = []
    for word in _words(text):
        if _CJK.fullmatch(word):
            found += _pairs(word)
        elif code != _DEFAULT_LANGUAGE or word not in _STOP_WORDS:
            found.append(_stem(word, code))
    return found


def analyse(text: str, language: str | None = None) -> str:
    """Return what a passage's BM25 field holds: its terms, joined by spaces."""
    return " ".join(terms(text, language))


def analyse_query(query: str, languages: Collection[str | None] = ()) -> str:
    """Analyse a query for passages in `languages`: each word by every stem it may be known by.

    A word counts once per distinct stem. A query of stop words only keeps them, so that it still
    asks for something.
    """
    codes = sorted({_known(language) for language in languages} or {_DEFAULT_LANGUAGE})
    found: list[str] = []
    for word in _words(query):
        if _CJK.fullmatch(word):
            found += _pairs(word)
        elif word not in _STOP_WORDS or _DEFAULT_LANGUAGE not in codes:
            found += dict.fromkeys(_stem(word, code) for code in codes)
    return " ".join(found) or " ".join(_words(query))


def _known(language: str | None) -> str:
    code = (language or _DEFAULT_LANGUAGE).lower().split("-")[0]
    return code if code in _STEMMERS or code in {"zh", "ja", "ko"} else _DEFAULT_LANGUAGE


def _words(text: str) -> Iterator[str]:
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).lower()):
        word = match.group()
        if not _CJK.search(word):
            yield re.split(r"['’]", word)[0]
            continue
        position = 0
        for run in _CJK.finditer(word):  # "第3章abc": runs of either kind
            yield from filter(None, [word[position : run.start()], run.group()])
            position = run.end()
        yield from filter(None, [word[position:]])


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


@lru_cache(maxsize=50_000)
def _stem(word: str, language: str) -> str:
    name = _STEMMERS.get(language)
    if name is None:
        return word[:_MAX_TERM]
    with _STEMMING:
        return str(_stemmer(name).stemWord(word))[:_MAX_TERM]


@lru_cache(maxsize=len(_STEMMERS))
def _stemmer(name: str) -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer(name)
