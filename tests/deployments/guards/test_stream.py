"""Answers on their way out: held back only as long as it takes to decide."""

import pytest

from deployments.guards.book import GuardBook
from deployments.guards.stream import OutputScreen
from tests.fakes.parts import FakeEmbedder
from tests.fakes.patient_guards import patient_guards

KEY = "sk-el-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\n" + "Qk1vN3p4\n" * 60 + "-----END RSA PRIVATE KEY-----"


def screen(**policy: object) -> OutputScreen:
    settings = patient_guards(policy)
    return OutputScreen(GuardBook(settings, embedder=FakeEmbedder(), models={}).of(""))


async def said(screen: OutputScreen, text: str, size: int) -> str:
    shown = [await screen.feed(text[n : n + size]) for n in range(0, len(text), size)]
    return "".join([*shown, await screen.finish()])


async def test_ordinary_words_are_not_held_back() -> None:
    fresh = screen()
    for word in ("Hello", ",", " world", ". ", "The", " sky"):
        assert await fresh.feed(word) == word


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_a_key_that_straddles_pieces_is_masked_before_it_leaves(size: int) -> None:
    fresh = screen()
    text = f"Your key is {KEY}. Keep it."
    assert await said(fresh, text, size) == "Your key is <API_KEY>. Keep it."
    (verdict,) = [v for v in fresh.verdicts if v.guard == "secrets"]
    assert (verdict.action, len(verdict.spans)) == ("mask", 1)


@pytest.mark.parametrize("size", [5, 64, 5000])
async def test_a_find_longer_than_the_look_ahead_is_masked_as_it_comes(size: int) -> None:
    assert len(PRIVATE) > 256
    text = f"Here: {PRIVATE} done."
    assert await said(screen(), text, size) == "Here: <PRIVATE_KEY> done."


async def test_no_more_than_the_look_ahead_is_held_back() -> None:
    fresh = screen(look_ahead=32)
    shown = await fresh.feed("https:" + "/" * 10 + "a" * 300)
    assert len(shown) >= 300 - 32


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_a_number_whose_end_is_to_come_is_waited_for(size: int) -> None:
    fresh = screen(personal_data={"output": "mask"})
    await fresh.guards.warm_up()
    text = "Call +49 30 901820 or write to anna@example.org today."
    shown = await said(fresh, text, size)
    assert shown == "Call <PHONE_NUMBER> or write to <EMAIL_ADDRESS> today."


async def test_blocked_terms_are_masked_whatever_disguises_them() -> None:
    fresh = screen(blocked_terms={"terms": ["Project Falcon"]})
    shown = await said(fresh, "About pröject f4lc0n and others, I say nothing.", 4)
    assert shown == "About <BLOCKED_TERM> and others, I say nothing."


async def test_a_block_stops_the_answer() -> None:
    fresh = screen(toxicity={"output": "block"})
    shown = await said(fresh, "That is fine. You are a stupid idiot. And so on.", 6)
    assert fresh.blocked == ("toxicity/insult",)
    assert shown.strip() == "That is fine."
    assert await fresh.feed("more") == ""


async def test_flags_are_told_once_the_answer_is_over() -> None:
    fresh = screen()
    text = "You are a stupid idiot."
    assert await said(fresh, text, 5) == text
    (verdict,) = [v for v in fresh.verdicts if v.guard == "toxicity"]
    assert (verdict.action, verdict.categories) == ("flag", ("toxicity/insult",))


async def test_an_answer_that_is_not_of_the_schema_is_flagged_or_blocked() -> None:
    schema = {"type": "object", "required": ["name"]}
    for action, blocked in (("flag", ()), ("block", ("json_schema",))):
        made = screen(json_schema={"output": action})
        fresh = OutputScreen(made.guards.demanding(schema))
        shown = await fresh.whole('{"age": 3}')
        assert fresh.blocked == blocked
        assert shown == ("" if blocked else '{"age": 3}')
    fine = OutputScreen(screen(json_schema={"output": "block"}).guards.demanding(schema))
    assert await fine.whole('{"name": "Ada"}') == '{"name": "Ada"}'
