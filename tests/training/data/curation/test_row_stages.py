"""The stages that judge one row at a time."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.training.data.samples import chat, jsonl, said
from training.data.curation.contamination import Contamination, Questions
from training.data.curation.languages import LanguageFilter
from training.data.curation.lengths import LengthFilter
from training.data.reading import read_dataset
from training.data.settings import (
    CurationSettings,
    DecontaminationSettings,
    LanguageSettings,
    LengthSettings,
)
from training.errors import CurationError
from training.examples import Example, TextExample

ENGLISH = "The card that you ordered was sent to the address that you gave us."
GERMAN = "Die Karte, die Sie bestellt haben, wurde an Ihre Adresse geschickt."


def texts(*prompts: str) -> list[Example]:
    return [TextExample(prompt, "card_arrival") for prompt in prompts]


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"min_characters": 5}, ""),
        ({"min_characters": 6}, "fewer than 6 characters"),
        ({"max_characters": 4}, "more than 4 characters"),
        ({"max_characters": 5}, ""),
        ({"min_messages": 3}, "fewer than 3 messages"),
        ({"max_messages": 1}, "more than 1 messages"),
        ({"min_tokens": 8}, "fewer than 8 tokens"),
        ({"max_tokens": 6}, "more than 6 tokens"),
        ({"min_tokens": 7, "max_tokens": 7}, ""),
    ],
)
def test_lengths_are_bounded_inclusively(bounds: dict[str, int], reason: str) -> None:
    stage = LengthFilter(LengthSettings(**bounds), lambda _: 7)
    assert stage.judge(TextExample("abc", "de")).removed_for == reason


def test_bounds_in_tokens_need_somebody_who_counts() -> None:
    with pytest.raises(CurationError, match="need a model whose tokens are counted"):
        LengthFilter(LengthSettings(max_tokens=5), None)


def test_bounds_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="min_tokens 9 is above max_tokens 5"):
        LengthSettings(min_tokens=9, max_tokens=5)


@pytest.mark.parametrize(
    ("prompt", "keep_unknown", "reason"),
    [
        (ENGLISH, True, ""),
        (GERMAN, True, "language de"),
        ("OK?", True, ""),
        ("OK?", False, "language unknown"),
    ],
)
def test_languages(prompt: str, keep_unknown: bool, reason: str) -> None:
    stage = LanguageFilter(LanguageSettings(allowed=("en",), keep_unknown=keep_unknown))
    assert stage.judge(TextExample(prompt, "")).removed_for == reason


def test_a_language_nobody_detects_is_refused() -> None:
    with pytest.raises(CurationError, match="names xx, which cannot be detected"):
        LanguageFilter(LanguageSettings(allowed=("en", "xx")))


def test_a_label_is_in_no_language() -> None:
    row = TextExample("Where do I find a virtual card?", "getting_virtual_card")
    stage = LanguageFilter(LanguageSettings(allowed=("en",)))
    assert stage.judge(row).removed_for == ""
    assert stage.judge(TextExample(row.prompt, "getting virtual card")).removed_for == "language it"


def test_the_system_prompt_does_not_decide_the_language() -> None:
    rows = read_dataset(jsonl(chat(said("system", ENGLISH * 3), said("assistant", GERMAN))))
    stage = LanguageFilter(LanguageSettings(allowed=("de",)))
    assert stage.judge(rows.examples()[0]).removed_for == ""


LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def contamination(*prompts: str, **settings: Any) -> Contamination:
    return Contamination(Questions.of(texts(*prompts), DecontaminationSettings(**settings)))


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("Where is my card?", "a question of the evaluation set"),
        ("WHERE is my card", "a question of the evaluation set"),
        ("Where is my card today?", ""),
        (f"He said: {LONG.title()}, and left", "13 words of the evaluation set"),
        (" ".join(LONG.split()[:13]), "13 words of the evaluation set"),
        (" ".join(LONG.split()[:12]), ""),
        ("card_arrival", ""),
    ],
)
def test_questions_of_the_evaluation_set_are_met(prompt: str, reason: str) -> None:
    stage = contamination("Where is my card?", LONG)
    assert stage.judge(TextExample(prompt, "other")).removed_for == reason


def test_an_answer_that_repeats_a_question_is_met() -> None:
    assert contamination(LONG).judge(TextExample("x", LONG)).removed_for


def test_the_length_of_a_run_is_set() -> None:
    prompt = "well then one two three four"
    assert contamination(LONG).judge(TextExample(prompt, "a")).removed_for == ""
    assert contamination(LONG, words=4).judge(TextExample(prompt, "a")).removed_for


def test_the_prompt_around_all_questions_is_no_overlap() -> None:
    frame = f"Give the intent of this question, one of {LONG}: {{}}"
    asked = [f"Where is card number {n}?" for n in range(30)]
    stage = contamination(*(frame.format(question) for question in asked))
    assert stage.judge(TextExample(frame.format("May I pay?"), "pay")).removed_for == ""
    assert stage.judge(TextExample(frame.format(asked[7]), "pay")).removed_for
    assert stage.judge(TextExample(asked[7], "pay")).removed_for
    assert stage.judge(TextExample("How many?", "7")).removed_for == ""


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError) as caught:
        CurationSettings.model_validate(
            {"dedupe": True, "near_duplicates": {"threshold": 2}, "personal_data": {"action": "x"}}
        )
    assert {error["loc"] for error in caught.value.errors()} == {
        ("dedupe",),
        ("near_duplicates", "threshold"),
        ("personal_data", "action"),
    }
