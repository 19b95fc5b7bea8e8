"""Long texts are read in threads: nobody else waits, budgets hold, and what is given up ends."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.guards.aside import aside, still_wanted
from deployments.guards.checks.personal import PersonalDataCheck
from deployments.guards.checks.rules import load_rules
from deployments.guards.checks.suspicion import SuspicionCheck
from deployments.guards.pipeline import ArmedCheck, Guards
from deployments.guards.recogniser.recogniser import Suspect
from deployments.guards.verdict import GuardText, Place

LONG = "All is well here. " * 500
_LOST_S = 20.0
"""Where a test waits for what never comes."""


class Door:
    """A reader that stands before a closed door, and says when it came and how it left."""

    def __init__(self) -> None:
        self.came, self.opened, self.left = threading.Event(), threading.Event(), threading.Event()
        self.refused = False

    def read(self, text: str) -> str:
        self.came.set()
        assert self.opened.wait(_LOST_S)
        try:
            still_wanted()
        except TimeoutError:
            self.refused = True
            raise
        finally:
            self.left.set()
        return text


async def test_a_long_text_is_read_while_the_loop_goes_on() -> None:
    door = Door()
    reading = asyncio.create_task(aside(door.read, LONG))
    assert await asyncio.to_thread(door.came.wait, _LOST_S)
    door.opened.set()  # from the loop: were it held, nobody would
    assert await reading == LONG


async def test_what_nobody_waits_for_any_more_ends_at_its_next_look() -> None:
    door = Door()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await aside(door.read, LONG)
    door.opened.set()
    assert await asyncio.to_thread(door.left.wait, _LOST_S)
    assert door.refused
    still_wanted()  # others are not meant


class Waits:
    """A recogniser that waits at a door."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def suspects(self, text: str, place: Place, above: float = 0.0) -> list[Suspect]:
        self.door.read(text)
        return [Suspect(0, len(text), 1.0)]


async def test_a_guard_that_reads_for_long_ends_at_its_budget() -> None:
    door = Door()
    waits: Any = Waits(door)
    check = SuspicionCheck("injection", "prompt_injection", load_rules("injection"), 0.6, waits)
    guards = Guards([ArmedCheck(check, 0.6, 0.01, {"input": "block"}, fails_closed=True)])
    screened = await guards.screen("input", [GuardText(LONG)])
    assert not door.opened.is_set()
    door.opened.set()
    (verdict,) = screened.verdicts
    assert (verdict.failure, screened.blocked) == ("over_budget", ("injection",))


class Pieces:
    """Finds nothing, piece by piece; the second piece of a long text waits at a door."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.read = 0

    def pieces(self, text: str) -> Iterator[list[Any]]:
        for _ in range(1 if len(text) < 100 else 1000):
            self.read += 1
            if self.read == 2:
                self.door.came.set()
                assert self.door.opened.wait(_LOST_S)
            yield []


async def test_personal_data_of_a_long_text_keeps_no_other_text_waiting() -> None:
    door = Door()
    check = PersonalDataCheck(("US",), 0.4)
    pieces: Any = Pieces(door)
    check._finder = pieces  # Presidio takes seconds to load, and its speed is the machine's
    long = asyncio.create_task(check.find("1 " * 5000, "input"))
    assert await asyncio.to_thread(door.came.wait, _LOST_S)
    long.cancel()  # as the end of a budget does
    with pytest.raises(asyncio.CancelledError):
        await long
    other = asyncio.create_task(check.find("12 34", "input"))
    door.opened.set()
    assert (await other).score == 0.0
    assert pieces.read == 3  # the piece that was under way, and the other text's
