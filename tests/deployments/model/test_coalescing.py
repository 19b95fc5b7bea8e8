"""When tokens are sent together."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from deployments.model.coalescing import coalesced, tokens_a_message


@pytest.mark.parametrize(("streams", "tokens"), [(0, 1), (1, 1), (4, 1), (8, 3), (12, 4), (99, 4)])
def test_a_message_holds_more_tokens_under_load(streams: int, tokens: int) -> None:
    assert tokens_a_message(streams) == tokens


async def _say(
    events: list[bytes], then: asyncio.Event | None = None
) -> AsyncGenerator[bytes, None]:
    for event in events:
        yield event
        await asyncio.sleep(0)
    if then is not None:
        await then.wait()


async def test_a_message_of_one_token_waits_for_no_other() -> None:
    never = asyncio.Event()
    messages = coalesced(_say([b"a", b"b", b"c"], never), lambda: 1, 30)
    async with asyncio.timeout(2):
        got = b""
        while got != b"abc":
            got += await anext(messages)
    await messages.aclose()


async def test_the_first_two_messages_pass_under_load_and_the_rest_come_together() -> None:
    gate = [asyncio.Event() for _ in range(3)]

    async def events() -> AsyncGenerator[bytes, None]:
        yield b"role "
        await gate[0].wait()
        yield b"first "
        await gate[1].wait()
        for word in (b"second ", b"third ", b"fourth "):
            yield word
            await asyncio.sleep(0)

    messages = coalesced(events(), lambda: 2, 30)
    async with asyncio.timeout(2):
        assert await anext(messages) == b"role "
        gate[0].set()
        assert await anext(messages) == b"first "
        gate[1].set()
        assert await anext(messages) == b"second third "
        assert await anext(messages) == b"fourth "  # the end is not waited for


async def test_what_is_held_is_sent_when_the_window_closes_though_no_other_event_comes() -> None:
    never = asyncio.Event()
    messages = coalesced(_say([b"1", b"2", b"3", b"4"], never), lambda: 9, 0.05)
    got: list[bytes] = []
    async with asyncio.timeout(2):
        while b"".join(got) != b"1234":
            got.append(await anext(messages))
    await messages.aclose()


async def test_an_error_comes_after_what_was_said_before_it() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"a"
        raise ValueError("broken")

    messages = coalesced(events(), lambda: 1, 0)
    assert await anext(messages) == b"a"
    with pytest.raises(ValueError, match="broken"):
        await anext(messages)


async def test_closing_stops_the_events_where_they_wait() -> None:
    stopped = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            stopped.set()

    messages = coalesced(events(), lambda: 1, 0)
    await anext(messages)
    await messages.aclose()
    assert stopped.is_set()
