"""Presidio's recognizers that need no language model, and where ours differ from its own."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from training.data.settings import Entity
from training.errors import CurationError

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

__all__ = ["recognizers"]

_TELLING_NAMES: Final = (
    "access[_-]?key|access[_-]?token|api[_-]?key|apikey|auth|client[_-]?secret|credential|key"
    "|pass|passwd|password|pwd|secret|session|sig|signature|token|x-amz-[a-z-]+"
)
_USER_IN_URL: Final = r"\b[a-z][a-z0-9+.-]*://[^\s/?#:@\"'<>]*:[^\s/?#@\"'<>]+@[^\s\"'<>]+"
_SECRET_IN_QUERY: Final = (
    rf"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]*[?&#;](?:{_TELLING_NAMES})=[^\s&\"'<>]+[^\s\"'<>]*"
)
_MAY_BE_A_PHONE: Final = re.compile(r"(?:\d\W{0,4}){7}")


def recognizers(
    entities: Sequence[Entity], phone_regions: Sequence[str]
) -> "list[EntityRecognizer]":
    """One recognizer for each kind of entity. Raises CurationError for an unknown region."""
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        IbanRecognizer,
        UsSsnRecognizer,
    )

    made: dict[Entity, Callable[[], Any]] = {
        "EMAIL_ADDRESS": _email,
        "PHONE_NUMBER": lambda: _phone(phone_regions),
        "IBAN_CODE": IbanRecognizer,
        "CREDIT_CARD": CreditCardRecognizer,
        "IP_ADDRESS": _ip,
        "US_SSN": UsSsnRecognizer,
        "URL_WITH_SECRET": _secret_url,
    }
    return [made[entity]() for entity in entities]


def _email() -> Any:
    """Presidio's, but for its check of the domain: that fetches a list of domains.

    Here the last label must be a word. So `package@1.2.3` is no address, and those of a company's
    own network, which no public list has, are.
    """
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    class Email(EmailRecognizer):
        def analyze(self, text: str, *given: Any, **named: Any) -> Any:
            # Its pattern takes quadratic time over long runs of letters.
            return super().analyze(text, *given, **named) if "@" in text else []

        def validate_result(self, pattern_text: str) -> bool:
            last = pattern_text.rpartition(".")[2]
            return len(last) > 1 and (last.isalpha() or last.lower().startswith("xn--"))

    return Email(name="EmailRecognizer")


def _phone(regions: Sequence[str]) -> Any:
    """Presidio's, asked only where seven digits follow each other: it reads a text per region."""
    from phonenumbers import SUPPORTED_REGIONS
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    if unknown := sorted(set(regions) - SUPPORTED_REGIONS):
        raise CurationError(
            f"personal_data.phone_regions names {', '.join(unknown)}; no such region is known.",
            fix="Give ISO 3166 codes, such as US or DE.",
        )

    class Phone(PhoneRecognizer):
        def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> Any:
            if not _MAY_BE_A_PHONE.search(text):
                return []
            return super().analyze(text, entities, nlp_artifacts)

    return Phone(supported_regions=tuple(regions), name="PhoneRecognizer")


def _ip() -> Any:
    """Presidio's, without what is rather code: `abc::def` has no digit."""
    from presidio_analyzer.predefined_recognizers import IpRecognizer

    class Ip(IpRecognizer):
        def invalidate_result(self, pattern_text: str) -> bool:
            digits = any(character.isdigit() for character in pattern_text)
            return not digits or bool(super().invalidate_result(pattern_text))

    return Ip(name="IpRecognizer")


def _secret_url() -> Any:
    from presidio_analyzer import Pattern, PatternRecognizer

    return PatternRecognizer(
        supported_entity="URL_WITH_SECRET",
        name="SecretUrlRecognizer",
        patterns=[
            Pattern("a password before the host", _USER_IN_URL, 1.0),
            Pattern("a secret in the query", _SECRET_IN_QUERY, 1.0),
        ],
    )
