"""What follows from findings: actions by place and kind, budgets, failures."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from deployments.guards.masking import masked_text
from deployments.guards.pipeline import ArmedCheck, Guards, _allowed_s
from deployments.guards.verdict import Action, Finding, GuardText, Place, Source, Span


@dataclass
class Words:
    """Finds «bad» and «mail», and waits or fails where it is told to."""

    name: str = "words"
    sources: frozenset[Source] = frozenset(Source)
    needs_whole: bool = False
    failure: Exception | None = None
    waits: bool = False

    async def find(self, text: str, place: Place) -> Finding:
        if self.waits:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        spans = tuple(
            Span(text.index(word), text.index(word) + len(word), word.upper())
            for word in ("bad", "mail")
            if word in text
        )
        return Finding(float(bool(spans)), tuple(s.kind.lower() for s in spans), spans)

    def undecided(self, text: str) -> int:
        return len(text)

    async def warm_up(self) -> None: ...


def guards(
    actions: Mapping[Place, Action],
    check: Words | None = None,
    *,
    closed: bool = False,
    kinds: Mapping[str, Action] | None = None,
) -> Guards:
    return Guards([ArmedCheck(check or Words(), 0.5, 0.05, actions, closed, kinds or {})])


TEXTS = [GuardText("all well"), GuardText("a bad mail")]


async def test_a_flag_changes_nothing_and_says_so() -> None:
    screened = await guards({"input": "flag"}).screen("input", TEXTS)
    assert screened.texts == ("all well", "a bad mail")
    assert (screened.blocked, screened.dropped) == ((), frozenset())
    (verdict,) = screened.verdicts
    assert (verdict.action, verdict.texts, verdict.categories) == ("flag", (1,), ("bad", "mail"))
    assert "bad mail" not in str(verdict.described())


async def test_a_mask_takes_the_place_of_what_was_found() -> None:
    screened = await guards({"output": "mask"}).screen("output", TEXTS)
    assert screened.texts == ("all well", "a <BAD> <MAIL>")


async def test_a_drop_names_the_passage() -> None:
    screened = await guards({"passages": "drop"}).screen("passages", TEXTS)
    assert screened.dropped == {1}


async def test_what_is_blocked_is_masked_for_who_keeps_it() -> None:
    screened = await guards({"input": "block"}).screen("input", TEXTS)
    assert screened.blocked == ("bad", "mail")
    assert screened.texts[1] == "a <BAD> <MAIL>"


async def test_a_kind_has_an_action_of_its_own() -> None:
    kinds: dict[str, Action] = {"BAD": "pass", "MAIL": "mask"}
    screened = await guards({"input": "block"}, kinds=kinds).screen("input", TEXTS)
    assert (screened.blocked, screened.texts[1]) == ((), "a bad <MAIL>")


async def test_a_place_that_is_off_is_not_looked_at() -> None:
    screened = await guards({"output": "mask"}).screen("input", TEXTS)
    assert screened.verdicts == ()


async def test_only_the_sources_of_a_check_are_read() -> None:
    check = Words(sources=frozenset({Source.SAID}))
    screened = await guards({"input": "mask"}, check).screen("input", TEXTS)
    assert screened.texts[1] == "a bad mail"


@pytest.mark.parametrize(
    ("check", "reason"),
    [(Words(waits=True), "over_budget"), (Words(failure=ValueError("no")), "ValueError")],
)
async def test_a_check_without_an_end_lets_pass_or_closes_as_it_is_told(
    check: Words, reason: str
) -> None:
    opened = await guards({"input": "flag"}, check).screen("input", TEXTS)
    assert opened.blocked == ()
    assert opened.verdicts[0].failure == reason
    closed = await guards({"input": "flag"}, check, closed=True).screen("input", TEXTS)
    assert closed.blocked == ("words",)
    passages = await guards({"passages": "flag"}, check, closed=True).screen("passages", TEXTS)
    assert passages.dropped == {0, 1}


def test_spans_that_overlap_become_one_mask() -> None:
    spans = [Span(2, 6, "ONE"), Span(4, 9, "TWO")]
    assert masked_text("0123456789", spans) == "01<ONE>9"


async def test_a_long_text_has_more_of_the_budget_but_not_without_bound() -> None:
    (short,) = (await guards({"input": "flag"}, Words(waits=True)).screen("input", TEXTS)).verdicts
    texts = [GuardText("a" * 12_000), GuardText("b")]
    (long,) = (await guards({"input": "flag"}, Words(waits=True)).screen("input", texts)).verdicts
    assert (short.failure, long.failure) == ("over_budget", "over_budget")
    assert long.ms >= 150  # three times 50
    assert _allowed_s(ArmedCheck(Words(), 0.5, 0.05, {}), [GuardText("a" * 900_000)]) == 0.5


@pytest.mark.parametrize(("closed", "blocked"), [(False, ()), (True, ("words",))])
async def test_of_an_endless_text_nothing_is_said(closed: bool, blocked: tuple[str, ...]) -> None:
    texts = [GuardText("bad " * 250_001)]
    screened = await guards({"input": "flag"}, closed=closed).screen("input", texts)
    assert (screened.verdicts[0].failure, screened.blocked) == ("text_too_long", blocked)
