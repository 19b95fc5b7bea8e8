import pytest

from ingestion.language import detect_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The boundary layer separates from the wing when the angle is large.", "en"),
        ("Die Grenzschicht löst sich vom Flügel, wenn der Winkel groß ist.", "de"),
        ("La couche limite se détache de l'aile quand l'angle est grand.", "fr"),
        ("境界層は翼から剥がれます。角度が大きいときです。", "ja"),
        ("边界层在角度很大时从机翼上分离出来，这是常见的。", "zh"),
        ("ينفصل التيار عن الجناح عندما تكون الزاوية كبيرة جدا", "ar"),
    ],
)
def test_language_of_a_sentence(text: str, language: str) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize("text", ["", "OK", "1234 5678 90 1234 5678 90 1234", "Paris 2024"])
def test_too_short_to_tell(text: str) -> None:
    assert detect_language(text) is None


def test_the_answer_does_not_change() -> None:
    text = "Alpha beta gamma Berlin Paris total super normal hotel taxi radio"
    assert len({detect_language(text) for _ in range(5)}) == 1
