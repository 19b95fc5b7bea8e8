"""Arguments of tool calls on their way out: held back no longer than needed, and still JSON."""

import json
from typing import Any

import pytest

from deployments.guards.arguments import ArgumentsScreen
from deployments.guards.book import GuardBook
from tests.fakes.parts import FakeEmbedder
from tests.fakes.patient_guards import patient_guards

KEY = "sk-el-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\n" + "Qk1vN3p4\n" * 60 + "-----END RSA PRIVATE KEY-----"
CARD = 4111111111111111


async def screen(**policy: Any) -> ArgumentsScreen:
    settings = patient_guards(policy)
    guards = GuardBook(settings, embedder=FakeEmbedder(), models={}).of("")
    await guards.warm_up()
    return ArgumentsScreen(guards)


async def said(screen: ArgumentsScreen, text: str, size: int) -> str:
    shown = [await screen.feed(text[n : n + size]) for n in range(0, len(text), size)]
    return "".join([*shown, await screen.finish()])


async def test_ordinary_arguments_are_not_held_back() -> None:
    fresh = await screen()
    for piece in ('{"city"', ": ", '"Bern"', ", ", '"days": 3', "}"):
        assert (await fresh.feed(piece)) or piece.endswith("3")
    assert await fresh.finish() == ""


async def test_whole_arguments_without_a_find_go_out_as_they_came() -> None:
    text = '{"city":  "Z\\u00fcrich"}'
    assert await (await screen()).whole(text) == text


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_a_secret_that_straddles_pieces_is_masked(size: int, ascii_only: bool) -> None:
    text = json.dumps({"note": f'Zürich: "{KEY}" is it.', "n": 1}, ensure_ascii=ascii_only)
    shown = await said(await screen(), text, size)
    assert json.loads(shown) == {"note": 'Zürich: "<API_KEY>" is it.', "n": 1}


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_the_name_of_a_field_says_what_its_value_is(size: int) -> None:
    text = json.dumps({"password": "Hunter2!x", "user": "ada"})
    shown = await said(await screen(), text, size)
    assert json.loads(shown) == {"password": "<PASSWORD>", "user": "ada"}


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_a_number_becomes_a_string(size: int) -> None:
    text = json.dumps({"card": CARD, "mail": "anna@example.org", "amount": 12})
    shown = await said(await screen(personal_data={"output": "mask"}), text, size)
    assert json.loads(shown) == {"card": "<CREDIT_CARD>", "mail": "<EMAIL_ADDRESS>", "amount": 12}


@pytest.mark.parametrize("size", [1, 6, 1000])
async def test_a_term_across_two_strings_leaves_both(size: int) -> None:
    text = json.dumps({"tags": ["project", "falcon", "x"]})
    shown = await said(await screen(blocked_terms={"terms": ["project falcon"]}), text, size)
    assert json.loads(shown) == {"tags": ["<BLOCKED_TERM>", "<BLOCKED_TERM>", "x"]}


@pytest.mark.parametrize("text", [PRIVATE, PRIVATE[:500]])
@pytest.mark.parametrize("size", [5, 64, 5000])
async def test_a_find_longer_than_the_look_ahead_ends_with_its_string(text: str, size: int) -> None:
    given = json.dumps({"key": text, "next": [1, "two"]})
    shown = await said(await screen(), given, size)
    made = json.loads(shown)
    assert made["key"] == "<PRIVATE_KEY>"
    assert "Qk1v" not in shown
    if text is PRIVATE:
        assert made["next"] == [1, "two"]


async def test_no_more_than_the_look_ahead_is_held_back() -> None:
    fresh = await screen(look_ahead=32)
    shown = await fresh.feed('{"url": "https:' + "/" * 10 + "a" * 300)
    assert len(shown) >= 300 - 32


async def test_a_block_stops_the_arguments() -> None:
    fresh = await screen(blocked_terms={"terms": ["falcon"], "output": "block"})
    shown = await said(fresh, json.dumps({"a": "fine words come first", "b": "Falcon"}), 4)
    assert fresh.blocked == ("blocked_terms",)
    assert "alcon" not in shown
