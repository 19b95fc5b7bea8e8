"""What was acknowledged is looked up until it is kept, or time is up."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import openai
import pytest

from tests.drills import promises
from tests.drills.promises import Ledger, Upload, broken_promises

CLIENT = openai.OpenAI(base_url="http://127.0.0.1:9", api_key="none", max_retries=0)


@dataclass
class Answers:
    """A promise that answers as it was told, the last for ever."""

    given: list[str]
    asked: int = field(default=0)

    def broken(self, client: openai.OpenAI) -> str:
        said = self.given[min(self.asked, len(self.given) - 1)]
        self.asked += 1
        return said


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "_LOOK_S", 0.0)


@pytest.fixture
def seconds() -> Callable[[], float]:
    """A clock that shows a second more each time."""
    return itertools.count().__next__


def test_work_under_way_may_end_meanwhile(seconds: Callable[[], float]) -> None:
    late = Answers(["is in_progress", "is in_progress", ""])
    assert broken_promises(CLIENT, [late], 10, seconds) == []
    assert late.asked == 3


def test_a_kept_promise_is_looked_at_once(seconds: Callable[[], float]) -> None:
    kept, lost = Answers([""]), Answers(["is gone"])
    found = broken_promises(CLIENT, [kept, lost], 4, seconds)
    assert found == ["is gone"]
    assert kept.asked == 1


def test_what_cannot_be_looked_up_is_lost() -> None:
    (told,) = broken_promises(CLIENT, [Upload("file-1", "00")], 0)  # nobody listens there
    assert "cannot be looked up: APIConnectionError" in told


def test_the_ledger_gives_what_came_after_a_mark() -> None:
    ledger, first, second = Ledger(), Answers([""]), Answers([""])
    ledger.add(first)
    mark = ledger.mark
    ledger.add(second)
    assert ledger.since(mark) == [second]
    assert ledger.counts() == {"Answers": 2}
