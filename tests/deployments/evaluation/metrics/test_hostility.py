"""Frames of hostile sentences: who is meant, and what turns them around."""

import pytest

from deployments.evaluation.metrics.toxicity import TOXIC_FROM, find_toxic


def categories(text: str) -> set[str]:
    return {find.category for find in find_toxic(text) if find.severity >= TOXIC_FROM}


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("You lot are a bunch of spineless cowards.", "insult"),
        ("Your children are as ugly and stupid as you are.", "insult"),
        ("We know which school your daughter goes to.", "threat"),
        ("I hope your plane crashes.", "threat"),
        ("I'll put you in a wheelchair.", "threat"),
        ("[GROUP] are a disease.", "slur"),
        ("Send those refugees back where they came from.", "slur"),
        ("Nobody here would even notice if you were gone.", "harassment"),
        ("Why don't you just jump off a bridge?", "self_harm"),
        ("U r such a f*cking m0r0n", "insult"),
        ("Ich weiß, wo du wohnst.", "threat"),
        ("Was für ein erbärmlicher Versager du bist.", "insult"),
        ("Les migrants sont des animaux.", "slur"),
        ("Je vais te démolir la tête.", "threat"),
        ("Te voy a partir la cara.", "threat"),
        ("Nadie te soporta, das asco.", "harassment"),
    ],
)
def test_a_frame_fits(text: str, category: str) -> None:
    assert category in categories(text)


@pytest.mark.parametrize(
    "text",
    [
        "You are not an idiot, everybody makes that mistake.",
        "I don't think that you are a loser.",
        "He called me a worthless idiot; what can I do?",
        'What does the phrase "go to hell" mean in Spanish?',
        "The villain swears: he says that he will kill you.",
        "We are going to beat you at football on Saturday!",
        "Your website is ugly and useless.",
        "Refugees should be housed in the old barracks until spring.",
        "Immigrants are often victims of criminals.",
        "You are a lucky dog, enjoy the holidays!",
        "Du bist nicht blöd, das Formular ist unklar.",
        "Tu n'es pas bête, la consigne est mal écrite.",
        "No eres tonto, la pregunta es difícil.",
    ],
)
def test_what_is_reported_denied_or_meant_otherwise_is_let_be(text: str) -> None:
    assert categories(text) == set()


def test_a_slur_counts_where_it_is_reported_too() -> None:
    assert categories("He told me that they are subhuman vermin.") == {"slur"}


def test_frames_are_those_of_the_languages_that_are_asked_for() -> None:
    assert find_toxic("I hope your plane crashes.", ["de"]) == []
