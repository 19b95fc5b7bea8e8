"""What bounds our own patterns: what a match costs, and not what runs beside it."""

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest
import regex

from deployments import bounded_patterns
from deployments.bounded_patterns import find_all, search

_SLOW = regex.compile(r"(?:a|aa)+\Z")


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Eight threads that always want to run."""
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            sum(range(1_000))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def slow_text() -> str:
    """A text on which the slow pattern is busy for some milliseconds, and matches nothing."""
    for size in count(10):
        text = "a" * size + "b"
        began = time.thread_time()
        assert _SLOW.search(text, concurrent=False) is None
        if time.thread_time() - began > 0.005:
            return text
    raise AssertionError


def test_busy_threads_are_not_counted(slow_text: str, busy_threads: None) -> None:
    for _ in range(5):
        assert search(_SLOW, slow_text) is None
        assert find_all(_SLOW, slow_text) == []


def test_what_comes_to_no_end_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        search(_SLOW, "a" * 1_000 + "b")
    with pytest.raises(TimeoutError):
        find_all(_SLOW, "a" * 1_000 + "b")


def test_who_takes_long_over_a_match_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_patterns, "_MATCH_S", 0.02)
    found = []
    for match in find_all(regex.compile("a"), "a" * 4):
        found.append(match.group())
        began = time.process_time()
        while time.process_time() - began < 0.02:
            pass
    assert found == list("aaaa")


def test_a_part_of_a_text_is_searched() -> None:
    pattern = regex.compile("a.")
    assert search(pattern, "abacad", 1).span() == (2, 4)
    assert search(pattern, "abacad", 1, 3) is None
    assert [m.group() for m in find_all(pattern, "abacaa")] == ["ab", "ac", "aa"]
    assert [m.span() for m in find_all(pattern, "xa", partial=True)] == [(1, 2)]
    assert [m.group() for m in find_all(regex.compile("aa"), "aaa", overlapped=True)] == [
        "aa",
        "aa",
    ]
