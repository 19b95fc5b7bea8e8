"""Secrets: keys and tokens by their form, private keys, and passwords by what stands before them.

The forms are in `secrets.yaml`; placeholders, dates, versions and uuids are none.

Where a text still grows, what may become a secret is told apart from what cannot: patterns are
matched in part at the text's end.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from cluster.keys import KEY_PREFIX
from deployments.bounded_patterns import find_all
from deployments.guards.aside import aside
from deployments.guards.verdict import Finding, Place, Source, Span

__all__ = ["SecretsCheck"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LEAST_CLASSES: Final = 2
"""Of lower case, upper case, digits and signs, that a value has which is no word."""
_LEAST_LETTERS: Final = 6
"""Different characters that a key has at least: «sk-xxxxxxxx» is none."""
_LONG: Final = 12
"""Characters from which a value counts where words stand between it and what names it."""
_FORMS: Final = Path(__file__).with_name("secrets.yaml")
_VALUE: Final = r"[^\s\"'`<>{}\[\]()|,;]{6,256}"
_STARTS_CODE: Final = re.compile(
    r"[$%*…]|(?:os|process|env|self|config|settings)\.|\w+\.\w+\.|https?:"
)
_PLACEHOLDER: Final = re.compile(
    r"x{4}|\*{3}|\.{3}|…|your|example|placeholder|redacted|change_?me|dummy|insert|replace|todo"
    r"|sample|here\b|<|\$\{|\{\{|%\(",
    re.IGNORECASE,
)
_IS_ELSE: Final = re.compile(
    r"\d{1,4}([-/.:])\d{1,2}\1\d{1,4}(?:T[\d:.Z+-]*)?|v?\d+(?:\.\d+)+\S*|[\d.,]+[%€$]|\S+@\S+\.\w+"
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\d+-[a-z]+(?:-[a-z]+)*",
    re.IGNORECASE,
)
"""Dates, versions, amounts, mail addresses, uuids, «12-character»."""
_BEGINNINGS: Final = _words(
    """
    sk- sk_ rk_ pk_ AKIA ASIA AROA AIDA LTAI AKID AIza GOCSPX- ya29. ghp_ gho_ ghu_ ghs_ ghr_
    github_pat glpat- glrt- gldt- glcbt- glptt- glsoat- glft- glimt- npm_ hf_ pypi- rubygems_ dop_v1
    doo_v1 dor_v1 dckr_ ATATT3 ATBB xox xapp- whsec_ sq0 shpat_ shpca_ shppa_ shpss_ SG. key- eyJ
    -----BEGIN AGE-SECRET-KEY PuTTY-User-Key dapi hvs. hvb. hvr. NRAK- sntrys_ sntryu_ lin_api_ ntn_
    figd_ PMAK- glsa_ glc_ HRKU- dp. pul- r8_ gsk_ xai- pplx- sbp_ pscale_ tskey- phc_ https:// ftp://
    sftp:// ssh:// git:// postgresql:// mysql:// mariadb:// mssql:// mongodb:// redis:// amqps://
    ldaps:// smtps:// imaps:// nats:// clickhouse:// cockroachdb:// oracle:// api_key apikey
    access_key access-key access_token secret private_key client_secret auth_token token password
    passwd pwd passphrase passwort kennwort contraseña mot bearer authorization
    """
)
_STARTED: Final = frozenset(
    word[:size].casefold() for word in _BEGINNINGS for size in range(1, len(word) + 1)
)
"""What the last letters of a text may be, where what a form needs is still to come."""
_GROWING: Final = re.compile(r"(?<![\w:])\d{1,10}:?A?\Z")
"""A number that may become a bot's token: what its form needs comes behind it."""
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
        spans = await aside(_spans, text)
        kinds = dict.fromkeys(span.kind.lower() for span in spans)
        return Finding(float(bool(spans)), tuple(f"secrets/{kind}" for kind in kinds), spans)

    def undecided(self, text: str) -> int:
        """See Check: where a secret may have begun."""
        begun = (
            int(match.start())
            for form in _held_by(text)
            for match in find_all(form.pattern, text, partial=True)
            if match.end() == len(text) and match.start() < len(text)
        )
        return min((_started(text), *begun))

    async def warm_up(self) -> None:
        """See Check."""
        _forms()


@dataclass(frozen=True, slots=True)
class _Form:
    kind: str
    needs: frozenset[str]
    """Letters of which some are in every text that has it."""
    pattern: Any


@lru_cache(4)  # a piece of a stream is asked about twice
def _held_by(text: str) -> tuple[_Form, ...]:
    """The forms that may be in a text: most texts have none."""
    folded = text.casefold()
    held = {letters for letters in _needed() if letters in folded}
    return tuple(form for form in _forms() if held & form.needs) if held else ()


def _started(text: str) -> int:
    """Where the last word may become what a form needs; the text's length where it cannot."""
    if number := _GROWING.search(text):
        return number.start()
    word = _LAST_WORD.search(text)
    if word is not None:
        last = word.group().casefold()
        for part in _PART.finditer(last):
            if last[part.start() :] in _STARTED:
                return word.start() + part.start()
    return len(text)


def _spans(text: str) -> tuple[Span, ...]:
    return tuple(_alone(list(_found(text))))


def _found(text: str) -> Iterator[Span]:
    for form in _held_by(text):
        for match in find_all(form.pattern, text):
            named = next((name for name, value in match.groupdict().items() if value), None)
            if named is not None:
                if _is_no_word(match[named], is_far=named == "far"):
                    yield Span(match.start(named), match.end(named), form.kind)
            elif form.kind == "PRIVATE_KEY" or not _is_placeholder(match.group()):
                yield Span(match.start(), match.end(), form.kind)


def _is_no_word(value: str, *, is_far: bool) -> bool:
    """Whether a value after «password:» is one, and not a word, a name or a piece of code.

    `is_far`: other words stand between them, or only a word such as «key» names it.
    """
    value = value.rstrip(".!?")
    if len(value) < 6 or _STARTS_CODE.match(value) or _is_placeholder(value):
        return False
    signs = any(not c.isalnum() and c not in "._-/:" for c in value)
    classes = [
        any(map(str.islower, value)),
        any(map(str.isupper, value)),
        any(map(str.isdigit, value)),
        signs,
    ]
    if is_far and not (classes[2] and (sum(classes) > _LEAST_CLASSES or len(value) >= _LONG)):
        return False
    if _IS_ELSE.fullmatch(value):
        return False
    return (classes[2] or signs) and sum(classes) >= _LEAST_CLASSES


def _is_placeholder(value: str) -> bool:
    """Whether it stands for a secret: «sk-your-key-here», «AKIA…EXAMPLE», «xxxxxxxx»."""
    return _PLACEHOLDER.search(value) is not None or len(set(value)) < _LEAST_LETTERS


def _alone(spans: list[Span]) -> Iterator[Span]:
    """In order; of those that overlap, the first and longest."""
    end = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start >= end:
            yield span
            end = span.end


@cache
def _needed() -> tuple[str, ...]:
    return tuple(frozenset[str]().union(*(form.needs for form in _forms())))


@cache
def _forms() -> tuple[_Form, ...]:
    import regex
    import yaml

    loaded: Mapping[str, Any] = yaml.safe_load(_FORMS.read_text(encoding="utf-8"))
    pieces = {
        "{name}": f"(?:{'|'.join(loaded['names'])})",
        "{scheme}": rf"(?:{'|'.join(loaded['schemes'])})(?:\+[a-z0-9]+)?",
        "{token}": _VALUE,
        "{key}": KEY_PREFIX,
    }

    def written(pattern: str) -> str:
        for piece, form in pieces.items():
            pattern = pattern.replace(piece, form)
        return pattern

    return tuple(
        _Form(
            one["kind"],
            frozenset(one["needs"].split()),
            regex.compile("|".join(written(form) for form in one["is"])),
        )
        for one in loaded["forms"]
    )
