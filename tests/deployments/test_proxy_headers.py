"""No header of a client steers Serve's proxy, nor brings it down."""

import pytest
from starlette.types import Receive, Scope, Send

from deployments.proxy_headers import ProxyHeaders

Header = tuple[bytes, bytes]


async def passed(*headers: Header, kind: str = "http") -> list[Header]:
    """What the proxy sees of these."""
    seen: list[Header] = []

    async def proxy(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.extend(scope["headers"])

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    given = list(headers)
    await ProxyHeaders(proxy)({"type": kind, "headers": given}, nothing, nothing)  # type: ignore[arg-type]
    assert given == list(headers)
    return seen


@pytest.mark.parametrize(
    "name",
    [
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
        b"x-session-id",
        b"x_session_id",
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"x-serve-router-replica",
    ],
)
async def test_orders_to_serve_do_not_pass(name: bytes) -> None:
    kept = (b"x-request-timeout", b"5")
    assert await passed((name, b"1"), kept) == [kept]


@pytest.mark.parametrize("value", [b"\xff\xfe", "é".encode(), b"", b"a" * 129, b"{{7*7}}"])
async def test_a_name_that_is_none_does_not_pass(value: bytes) -> None:
    assert await passed((b"x-request-id", value)) == []


async def test_the_rest_passes() -> None:
    headers = [(b"x-request-id", b"req_7"), (b"authorization", b"Bearer x"), (b"cookie", b"\xff")]
    assert await passed(*headers) == headers


async def test_other_protocols_pass_untouched() -> None:
    assert await passed((b"x-session-id", b"1"), kind="websocket") == [(b"x-session-id", b"1")]
