"""Personal data is found by its pattern, and no character of it is left."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.samples import chat, jsonl, said
from training.data.curation.personal_data import PersonalData, Span, merged
from training.data.reading import read_dataset
from training.data.settings import PersonalDataSettings
from training.errors import CurationError
from training.examples import ChatExample, TextExample


@pytest.fixture(scope="module")
def masking() -> PersonalData:
    return PersonalData(PersonalDataSettings())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to jane.doe@example.com.", "Write to <EMAIL_ADDRESS>."),
        ("bob@mail.corp.internal", "<EMAIL_ADDRESS>"),
        ("npm install left-pad@1.2.3", "npm install left-pad@1.2.3"),
        ("Call 212-555-0123 or (415) 555-2671", "Call <PHONE_NUMBER> or <PHONE_NUMBER>"),
        ("+44 20 7946 0958", "<PHONE_NUMBER>"),
        ("pay DE89 3704 0044 0532 0130 00 today", "pay <IBAN_CODE> today"),
        ("pay DE88 3704 0044 0532 0130 00 today", "pay DE88 3704 0044 0532 0130 00 today"),
        ("card 4111 1111 1111 1111", "card <CREDIT_CARD>"),
        ("part 4111 1111 1111 1112", "part 4111 1111 1111 1112"),
        ("from 192.168.1.77 or fe80::1", "from <IP_ADDRESS> or <IP_ADDRESS>"),
        ("std::vector of abc::def", "std::vector of abc::def"),
        ("SSN 078-05-1121", "SSN <US_SSN>"),
        ("my social security number is 219099998", "my social security number is <US_SSN>"),
        ("item 219099998", "item 219099998"),
        ("https://ann:pw@host.example/x", "<URL_WITH_SECRET>"),
        ("see https://h.example/a?token=abc&x=2 now", "see <URL_WITH_SECRET> now"),
        ("https://h.example/a?page=2", "https://h.example/a?page=2"),
        ("at 10:30 on 2024-11-05 for 1,250.00", "at 10:30 on 2024-11-05 for 1,250.00"),
    ],
)
def test_masks(masking: PersonalData, text: str, masked: str) -> None:
    verdict = masking.judge(TextExample(text, "x"))
    assert verdict.example == TextExample(masked, "x")
    assert bool(verdict.found) == (text != masked)
    assert verdict.removed_for == ""


def test_masked_arguments_stay_json(masking: PersonalData) -> None:
    arguments = json.dumps({"to": "ann@example.com", "card": 4111111111111111, "copies": 2})
    call = {"id": "1", "type": "function", "function": {"name": "pay", "arguments": arguments}}
    row = chat(said("user", "Pay."), said("assistant", None, tool_calls=[call]))
    verdict = masking.judge(read_dataset(jsonl(row)).examples()[0])
    assert isinstance(verdict.example, ChatExample)
    function = verdict.example.messages[1]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {
        "to": "<EMAIL_ADDRESS>",
        "card": "<CREDIT_CARD>",
        "copies": 2,
    }
    assert verdict.found == {"EMAIL_ADDRESS": 1, "CREDIT_CARD": 1}


def test_dropping_names_the_kinds() -> None:
    stage = PersonalData(PersonalDataSettings(action="drop"))
    verdict = stage.judge(TextExample("a@example.com and b@example.com", "from 10.0.0.1"))
    assert verdict.removed_for == "holds EMAIL_ADDRESS, IP_ADDRESS"
    assert verdict.found == {"EMAIL_ADDRESS": 2, "IP_ADDRESS": 1}


def test_only_what_is_asked_for_is_found() -> None:
    stage = PersonalData(PersonalDataSettings(entities=("IP_ADDRESS",)))
    verdict = stage.judge(TextExample("a@example.com from 10.0.0.1", "x"))
    assert verdict.example == TextExample("a@example.com from <IP_ADDRESS>", "x")


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(CurationError, match="names UK; no such region"):
        PersonalData(PersonalDataSettings(phone_regions=("US", "UK")))


_spans = st.lists(
    st.builds(
        lambda start, size, entity, score: Span(start, start + size, entity, score),
        st.integers(0, 30),
        st.integers(1, 10),
        st.sampled_from(["A", "B"]),
        st.sampled_from([0.4, 1.0]),
    ),
    max_size=8,
)


@given(_spans)
def test_merged_spans_cover_all_and_do_not_overlap(spans: list[Span]) -> None:
    def characters(several: list[Span]) -> set[int]:
        return {i for span in several for i in range(span.start, span.end)}

    whole = merged(spans)
    assert characters(whole) == characters(spans)
    assert all(one.end <= other.start for one, other in pairwise(whole))


def test_the_surest_names_a_merged_span() -> None:
    assert merged([Span(0, 9, "PHONE_NUMBER", 0.4), Span(4, 20, "IBAN_CODE", 1.0)]) == [
        Span(0, 20, "IBAN_CODE", 1.0)
    ]
