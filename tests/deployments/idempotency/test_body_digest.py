"""Which requests count as the same."""

import pytest
from starlette.types import Message, Scope

from deployments.idempotency.body_digest import BodyDigest


def _scope(path: str = "/v1/files", query: bytes = b"", kind: str = "application/json") -> Scope:
    headers = [(b"content-type", kind.encode())]
    return {"type": "http", "method": "POST", "path": path, "query_string": query,
            "headers": headers}  # fmt: skip


def _form(boundary: str, data: bytes) -> tuple[Scope, bytes]:
    edge = f"--{boundary}".encode()
    head = b'\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = edge + head + data + b"\r\n" + edge + b"--\r\n"
    return _scope(kind=f"multipart/form-data; boundary={boundary}"), body


def _digest(scope: Scope, body: bytes, piece: int = 1 << 20) -> str:
    digest = BodyDigest(scope)
    for start in range(0, len(body), piece):
        digest.update(body[start : start + piece])
    return digest.value()


@pytest.mark.parametrize("piece", [1, 2, 7, 16, 64, 4096])
def test_the_pieces_in_which_a_form_comes_and_its_boundary_count_for_nothing(piece: int) -> None:
    data = b"--abc bytes \x00\xff" * 50
    one, other = _form("0123456789abcdef", data), _form("fedcba9876543210ff", data)
    assert _digest(*one, piece) == _digest(*one)
    assert _digest(*one, piece) == _digest(*other)
    assert _digest(*one) != _digest(*_form("0123456789abcdef", data + b"!"))


def test_path_query_and_body_count() -> None:
    seen = {
        _digest(_scope(), b"{}"),
        _digest(_scope(), b"{ }"),
        _digest(_scope("/v1/evals"), b"{}"),
        _digest(_scope(query=b"a=1"), b"{}"),
    }
    assert len(seen) == 4


async def test_what_nobody_read_is_read_to_its_end() -> None:
    pieces: list[Message] = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"cd", "more_body": False},
    ]

    async def receive() -> Message:
        return pieces.pop(0)

    digest = BodyDigest(_scope())
    await digest.drain(receive)
    assert digest.complete
    assert digest.value() == _digest(_scope(), b"abcd")
