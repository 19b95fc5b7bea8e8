"""Secrets: keys and tokens by their form, private keys, and passwords by what stands before them.

Where a text still grows, what may become a secret is told apart from what cannot: patterns are
matched in part at the text's end.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from cluster.keys import KEY_PREFIX
from deployments.guards.verdict import Finding, Place, Source, Span

__all__ = ["SecretsCheck"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MATCH_S: Final = 0.05
_LEAST_CLASSES: Final = 2
"""Of lower case, upper case, digits and signs, that a value has which is no word."""
_NAMES: Final = (
    r"(?:api[_-]?key|apikey|access[_-]?key|secret[_-]?key|private[_-]?key|client[_-]?secret|secret|"
    r"access[_-]?token|auth[_-]?token|token|password|passwd|pwd|passphrase|passwort|kennwort|"
    r"contraseña|mot de passe|bearer)"
)
_SCHEMES: Final = (
    r"(?:https?|ftps?|sftp|ssh|git|postgres(?:ql)?|mysql|mariadb|mssql|mongodb|rediss?|amqps?|"
    r"ldaps?|smtps?)(?:\+[a-z0-9]+)?"
)
_FORMS: Final = (
    ("PRIVATE_KEY", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
                    r"(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)"),
    ("API_KEY", rf"(?<![\w-]){KEY_PREFIX}[\w-]{{16,256}}"),
    ("API_KEY", r"(?<![\w-])sk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_-]{20,256}"),
    ("API_KEY", r"(?<![A-Za-z0-9])(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("API_KEY", r"(?<![A-Za-z0-9])AIza[\w-]{35}"),
    ("API_KEY", r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255})"),
    ("API_KEY", r"(?<![A-Za-z0-9])(?:glpat-[\w-]{20,64}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z]{30,64}|"
                r"pypi-[\w-]{50,255}|dop_v1_[a-f0-9]{64})"),
    ("API_KEY", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    ("API_KEY", r"(?<![A-Za-z0-9])(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,255}"),
    ("API_KEY", r"(?<![A-Za-z0-9])SG\.[\w-]{16,32}\.[\w-]{32,64}"),
    ("JWT", r"(?<![\w-])eyJ[\w-]{10,4096}\.[\w-]{10,4096}\.[\w-]{10,4096}"),
    ("PASSWORD", rf"(?<![\w-])(?i:{_SCHEMES})://[^\s/?#:@\"'<>]*:(?P<value>[^\s/?#@\"'<>]+)@"),
    ("PASSWORD", rf"(?<![A-Za-z0-9])(?i:{_NAMES})[\"']?"
                 r"(?:\s*[:=]|\s+(?:is|lautet|ist|es|est|was)\s*:?)"
                 r"\s*[\"'`]?(?P<value>[^\s\"'`<>{}\[\]()|,;]{6,256})"),
    ("PASSWORD", r"(?<![\w-])(?i:authorization)[\"']?\s*:\s*[\"']?(?i:bearer|basic) "
                 r"(?P<value>[\w.=+/~-]{16,4096})"),
)  # fmt: skip


_SEEDS: Final = _words(
    """
    sk- sk_ rk_ pk_ akia asia aroa aida aiza ghp_ gho_ ghu_ ghs_ ghr_ github_pat glpat npm_ hf_
    pypi- dop_v1 xox sg. eyj -----b :// key secret token passw pwd passphrase kennwort contrase
    bearer authoriz mot
    """
)
"""Without one of these there is no secret: most texts are done with it."""
_BEGINNINGS: Final = _words(
    """
    sk- sk_ rk_ pk_ AKIA ASIA AROA AIDA AIza ghp_ gho_ ghu_ ghs_ ghr_ github_pat glpat- npm_ hf_
    pypi- dop_v1 xox SG. eyJ -----BEGIN https:// ftp:// sftp:// ssh:// git:// postgresql://
    mysql:// mariadb:// mssql:// mongodb:// redis:// amqps:// ldaps:// smtps:// api_key apikey
    access_key access-key access_token secret private_key client_secret auth_token token
    password passwd pwd passphrase passwort kennwort contraseña mot bearer authorization
    """
)
_STARTED: Final = frozenset(
    word[:size].casefold() for word in _BEGINNINGS for size in range(1, len(word) + 1)
)
"""What the last letters of a text may be, where a seed is still to come."""
_LAST_WORD: Final = re.compile(r"[^\s\"'`(\[{=,;]{1,16}\Z")
_PART: Final = re.compile(r"(?<![^\W_])(?=\w)|(?<!-)(?=-)")


class SecretsCheck:
    """Finds what gives access."""

    name = "secrets"
    sources = frozenset(Source)
    needs_whole = False

    async def find(self, text: str, place: Place) -> Finding:
        """See Check. Raises TimeoutError."""
        del place
        if not _has_seed(text):
            return Finding()
        spans = tuple(_alone(list(_found(text))))
        kinds = dict.fromkeys(span.kind.lower() for span in spans)
        return Finding(float(bool(spans)), tuple(f"secrets/{kind}" for kind in kinds), spans)

    def undecided(self, text: str) -> int:
        """See Check: where a secret may have begun."""
        if not _has_seed(text):
            return _started(text)
        begun = (
            match.start()
            for _, pattern in _patterns()
            for match in pattern.finditer(text, partial=True, timeout=_MATCH_S)
            if match.end() == len(text) and match.start() < len(text)
        )
        return min(begun, default=len(text))

    async def warm_up(self) -> None:
        """See Check."""
        _patterns()


def _has_seed(text: str) -> bool:
    folded = text.casefold()
    return any(seed in folded for seed in _SEEDS)


def _started(text: str) -> int:
    """Where the last word may become a seed; the text's length where it cannot."""
    word = _LAST_WORD.search(text)
    if word is not None:
        last = word.group().casefold()
        for part in _PART.finditer(last):
            if last[part.start() :] in _STARTED:
                return word.start() + part.start()
    return len(text)


def _found(text: str) -> Iterator[Span]:
    for kind, pattern in _patterns():
        for match in pattern.finditer(text, timeout=_MATCH_S):
            if "value" not in pattern.groupindex:
                yield Span(match.start(), match.end(), kind)
            elif _is_no_word(match["value"]):
                yield Span(match.start("value"), match.end("value"), kind)


def _is_no_word(value: str) -> bool:
    """Whether a value after «password:» is one, and not a word, a name or a piece of code."""
    value = value.rstrip(".!?")
    if len(value) < 6 or value.startswith(("$", "%", "os.", "…", "*", "xxx", "your")):
        return False
    signs = any(not c.isalnum() and c not in "._-" for c in value)
    classes = [
        any(map(str.islower, value)),
        any(map(str.isupper, value)),
        any(map(str.isdigit, value)),
        signs,
    ]
    return (classes[2] or signs) and sum(classes) >= _LEAST_CLASSES


def _alone(spans: list[Span]) -> Iterator[Span]:
    """In order; of those that overlap, the first and longest."""
    end = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start >= end:
            yield span
            end = span.end


@cache
def _patterns() -> tuple[tuple[str, Any], ...]:
    import regex

    return tuple((kind, regex.compile(form)) for kind, form in _FORMS)
