"""Personal data by its form and by the words around it; what only looks like it is let be."""

import re

import pytest

from cluster.sections.guards import PersonalDataGuard
from deployments.guards.book import GuardBook
from deployments.guards.checks.identifiers import identifiers
from deployments.guards.checks.personal import PersonalDataCheck
from deployments.guards.masking import masked_text
from deployments.guards.stream import OutputScreen
from deployments.guards.verdict import Finding
from tests.fakes.parts import FakeEmbedder
from tests.fakes.patient_guards import patient_guards

SETTINGS = PersonalDataGuard()
CHECK = PersonalDataCheck(SETTINGS.phone_regions, SETTINGS.threshold)


async def found(text: str) -> Finding:
    return await CHECK.find(text, "output")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Passport no. X12345678 is valid.", "Passport no. <PASSPORT> is valid."),
        ("His licence plate reads KA-EX 4711.", "His licence plate reads <VEHICLE_PLATE>."),
        ("DOB 04/17/1986, allergic.", "DOB <DATE_OF_BIRTH>, allergic."),
        ("Née le 3 mars 1985 à Lille.", "Née le <DATE_OF_BIRTH> à Lille."),
        ("Ich wohne in der Lindenstraße 14.", "Ich wohne in der <STREET_ADDRESS>."),
        ("Vive en la calle Mayor 23.", "Vive en la <STREET_ADDRESS>."),
        ("The IBAN is DE12 5001 0517 0648 4898 90.", "The IBAN is <IBAN_CODE>."),
        ("Ring me on +1 555 019 2834.", "Ring me on <PHONE_NUMBER>."),
        ("My name is Johanna Peters, hello.", "My name is <PERSON>, hello."),
        ("The tenant Marcus O'Leary owes it.", "The tenant <PERSON> owes it."),
        ("NHS number 943 476 5919 was new.", "NHS number <MEDICAL_ID> was new."),
        ("Sort code 20-45-77, thanks.", "Sort code <BANK_ACCOUNT>, thanks."),
        ("Mail jane [at] gmail [dot] com now.", "Mail <EMAIL_ADDRESS> now."),
        ("RSSMRA85T10A562S is on the form.", "<NATIONAL_ID> is on the form."),
        ("Logged in from 84.23.119.7 today.", "Logged in from <IP_ADDRESS> today."),
    ],
)
async def test_what_is_told_or_has_a_form_is_masked(text: str, masked: str) -> None:
    assert masked_text(text, (await found(text)).spans) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Ping 127.0.0.1, 192.168.0.1, 10.0.0.5, ::1 and fe80::1.",
        "Netmask 255.255.255.0, firmware 10.4.2.1.",
        "Call 112 or our hotline 0800 723 4266.",
        "The order 06 12 34 56 78 90 and part 4711-0815-42.",
        "Call me at 10:30 on 12.04.2025.",
        "Einstein was born on 14 March 1879.",
        "The museum is at 12 Harbour Street.",
        "Clone git@github.com:acme/tools.git as user@example.com.",
        "The IMEI is 490154203237518, the ISBN 0-306-40615-2.",
        "The passport office opens at 8:30.",
    ],
)
async def test_what_only_looks_like_it_is_let_be(text: str) -> None:
    assert (await found(text)).spans == ()


async def test_a_street_of_an_organisation_counts_where_somebody_lives_there() -> None:
    assert (await found("She lives above the shop at 18 Market Street.")).spans


def test_most_texts_are_not_looked_at() -> None:
    assert identifiers("The sky is blue and the sea is calm.") == []


@pytest.mark.parametrize("size", [1, 2, 5, 9, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "Born on 12 March 1985, he lives at 48 Willow Lane and is well.",
        "Passport no. GB 533401239 and card 4111 1111 1111 1111 were lost.",
        "My name is Johanna Peters and I am happy to be here.",
        "Write to jane dot miller at gmail dot com or to bob@example.org please.",
        "Elle habite 12 rue des Acacias depuis longtemps.",
    ],
)
async def test_a_stream_shows_nothing_that_the_whole_would_mask(text: str, size: int) -> None:
    settings = patient_guards({"personal_data": {"output": "mask"}})
    screen = OutputScreen(GuardBook(settings, embedder=FakeEmbedder(), models={}).of(""))
    await screen.guards.warm_up()
    pieces = [await screen.feed(text[n : n + size]) for n in range(0, len(text), size)]
    shown = "".join([*pieces, await screen.finish()])
    spans = (await found(text)).spans
    assert shown == masked_text(text, spans)
    for span in spans:
        for part in re.findall(r"\w{3,}", text[span.start : span.end]):
            assert part not in shown
