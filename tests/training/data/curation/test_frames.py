"""The words that nearly all questions share are not compared."""

import pytest

from training.data.curation.frames import NO_FRAME, Frame, frame_of


def openings(*texts: str) -> list[tuple[bytes, list[str]]]:
    return [(text.encode(), text.split()) for text in texts]


def framed(count: int) -> list[str]:
    return [f"classify this please : {word} {word} answer with a label" for word in range(count)]


def test_the_frame_is_what_stands_before_and_after() -> None:
    frame = frame_of(openings(*framed(30)))
    assert frame == Frame(("classify", "this", "please", ":"), ("answer", "with", "a", "label"))


def test_a_few_others_do_not_hide_it() -> None:
    assert frame_of(openings(*framed(38), "hello", "who are you")).before[:2] == (
        "classify",
        "this",
    )


def test_a_minority_makes_no_frame() -> None:
    others = [f"{n} something else {n}" for n in range(10)]
    assert frame_of(openings(*framed(30), *others)) == NO_FRAME


def test_few_questions_have_no_frame() -> None:
    assert frame_of(openings(*framed(19))) == NO_FRAME


def test_a_constant_question_is_all_frame() -> None:
    frame = frame_of([(bytes([n]), ["tell", "a", "joke"]) for n in range(30)])
    assert frame.inside(["tell", "a", "joke"]) == []


@pytest.mark.parametrize(
    ("given", "inside"),
    [("a b x y z", "x y"), ("a b z", ""), ("a x y z", "a x y"), ("a b x y", "x y"), ("a b", "")],
)
def test_a_text_loses_the_sides_that_it_has(given: str, inside: str) -> None:
    assert Frame(("a", "b"), ("z",)).inside(given.split()) == inside.split()


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("a b x z", {"a b x z", "x z", "a b x", "x"}),
        ("b x", {"b x", "x"}),
        ("x", {"x"}),
        ("a b", {"a b", ""}),
    ],
)
def test_every_part_of_the_frame_can_be_taken_off(given: str, parts: set[str]) -> None:
    frame = Frame(("a", "b"), ("z", "y"))
    assert {" ".join(part) for part in frame.parts(given.split())} == parts
