import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.normalise import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eﬃcient ﬂow of ﬁsh", "efficient flow of fish"),
        ("hyphen-\nated word", "hyphenated word"),
        ("hyphen\u00ad\nated soft\u00adly", "hyphenated softly"),
        ("Navier-\nStokes", "Navier-\nStokes"),
        ("range 3-\n4", "range 3-\n4"),
        ("a\x00b\x07c\u200bd\ufeff", "abcd"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("many   spaces\t here  \n\n\n\nend", "many spaces here\n\nend"),
        ("if x:\n    go()", "if x:\n    go()"),
        ("no\u00a0break", "no break"),
        ("Zoe\u0308", "Zoë"),
        ("\uf0b7 item", "• item"),
        ("trojan\u202esource", "trojansource"),
        ("lone \ud800 half", "lone half"),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "text",
    ["👩‍🚀 ❤️ 🇩🇪", "漢字かな。한국어", "العربية", "می‌خواهم", "नमस्ते क्‍ष", "Привет", "ไทย", "שלום"],
)
def test_other_scripts_stay(text: str) -> None:
    import unicodedata

    assert normalise(text) == unicodedata.normalize("NFKC", text)


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        alphabet=st.one_of(st.characters(), st.sampled_from("a-\n \t\u00ad\u0301\u200b\r")),
        max_size=40,
    )
)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
