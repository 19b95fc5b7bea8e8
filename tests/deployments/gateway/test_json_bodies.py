"""JSON bodies that parsers disagree on, or that are larger in memory than on the wire."""

import time

import pytest

from deployments.errors import InvalidRequest
from deployments.gateway.json_bodies import check_json

LIMITS = {"max_depth": 8, "max_items": 100}


def code(body: bytes) -> str | None:
    try:
        check_json(body, **LIMITS)
    except InvalidRequest as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": [1, 2.5e3, "x"]}', None),
        (b"[" * 8 + b"]" * 8, None),
        (b"[" * 9 + b"]" * 9, "body_too_deep"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "body_too_deep"),
        (b"[" * 50_000, "body_too_many_items"),
        (b'{"a": "' + b"[" * 500 + b'"}', None),
        (b'{"a": "\\"' + b"[{" * 500 + b'"}', None),
        (b"[" + b"[]," * 40 + b"[]]", None),
        (b"[" + b"1," * 100 + b"1]", "body_too_many_items"),
        (b'{"a": "' + b"," * 5000 + b'"}', None),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": -Infinity}', "invalid_json"),
        (b'{"a": "NaN and Infinity"}', None),
        (b'{"a": 1e308}', None),
        (b'{"a": 1e309}', "number_out_of_range"),
        (b'{"a": ' + b"9" * 400 + b"}", "number_out_of_range"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "number_out_of_range"),
        (b'{"a": "1e309"}', None),
        (b'{"a": 1.2.3e999}', None),
        ('{"a": 1}'.encode("utf-16"), "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
    ],
)
def test_a_body_is_refused_for_what_is_wrong_with_it(body: bytes, expected: str | None) -> None:
    assert code(body) == expected


@pytest.mark.parametrize("unit", [b"[],", b'"",', b'"\\"",', b"1e99,", b"{", b'"'])
def test_no_body_of_megabytes_takes_long_to_refuse(unit: bytes) -> None:
    start = time.process_time()  # whatever else the machine does
    code(unit * (2 * 1024**2 // len(unit)))
    assert time.process_time() - start < 2.0
