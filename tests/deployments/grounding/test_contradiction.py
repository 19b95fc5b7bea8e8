"""What contradicts a sentence, and what merely does not speak of it: by words alone."""

import pytest

from deployments.gateway.grounding.attribution import Attributor, SentenceSupport
from deployments.gateway.grounding.windows import SourcePassage
from tests.fakes.embedder import BrokenEmbedder

WARRANTY = (
    "The warranty of the Model X200 lasts 24 months from the day of purchase. It does not cover "
    "water damage. Batteries are covered for 6 months. Repairs cost 80 dollars in the first year."
)
COURSE = (
    "The course begins on Monday, 4 October 2027 and costs 350 euros. Students pay 50% of the fee. "
    "Smoking is forbidden in the building. The final exam is optional. No previous knowledge is "
    "required. Breaks last 10 to 15 minutes. Send the form before 31 May."
)
FIRMS = (
    "Lumen Optics acquired Stern Lenses in 1963. Ada Keller founded Lumen Optics. The firm owns a "
    "Boeing 747. Its files are limited to 512 MB. Sales rose by 8 percent and costs fell by 3."
)
GERMAN = "Das Ticket gilt 90 Minuten. Fahrräder werden nicht befördert. Der Rabatt gilt nicht."
SPANISH = "La garantía del horno dura 3 años. El horno no cubre los daños por agua."
FRENCH = "L'entrée coûte 6 euros. Les enfants de moins de 4 ans ne paient pas."

CONTRADICTED = [
    (WARRANTY, "The warranty of the Model X200 lasts 36 months.", "number 36"),
    (WARRANTY, "The warranty of the Model X200 lasts thirty months.", "number 30"),
    (WARRANTY, "The warranty of the Model X200 lasts 24 years.", "unit 24 year"),
    (WARRANTY, "The warranty covers water damage.", "negation"),
    (WARRANTY, "The batteries are covered for 9 months.", "number 9"),
    (WARRANTY, "The batteries are not covered for 6 months.", "negation"),
    (WARRANTY, "Repairs cost 80 euros in the first year.", "unit 80 euro"),
    (WARRANTY, "Repairs cost 90 dollars in the first year.", "number 90"),
    (COURSE, "The course begins on Tuesday, 4 October 2027.", "date tuesday"),
    (COURSE, "The course begins on Monday, 4 November 2027.", "date novemb"),
    (COURSE, "The course begins on Monday, 4 October 2028.", "number 2028"),
    (COURSE, "Send the form before 31 June.", "date june"),
    (COURSE, "Students pay 60% of the fee.", "number 60"),
    (COURSE, "Smoking is allowed in the building.", "sense"),
    (COURSE, "The final exam is mandatory.", "sense"),
    (COURSE, "Previous knowledge is required.", "negation"),
    (COURSE, "The course costs 350 euros and begins on Monday, 5 October 2027.", "number 5"),
    (COURSE, "Breaks last 20 to 30 minutes.", "number 20, 30"),
    (COURSE, "Send the form after 31 May.", "sense"),
    (FIRMS, "Stern Lenses acquired Lumen Optics in 1963.", "roles"),
    (FIRMS, "Its files are limited to 512 GB.", "unit 512 gb"),
    (GERMAN, "Das Ticket gilt 60 Minuten.", "number 60"),
    (GERMAN, "Fahrräder werden befördert.", "negation"),
    (SPANISH, "La garantía del horno dura 5 años.", "number 5"),
    (SPANISH, "El horno cubre los daños por agua.", "negation"),
    (FRENCH, "L'entrée coûte 9 euros.", "number 9"),
    (FRENCH, "Les enfants de moins de 4 ans paient.", "negation"),
]

UNVERIFIABLE = [
    (WARRANTY, "The warranty of the Model X300 lasts 24 months."),
    (WARRANTY, "The warranty of the Model X300 lasts 36 months."),
    (WARRANTY, "The seller has 40 shops in Norway."),
    (WARRANTY, "Accessories are covered for 12 weeks of rental use."),
    (COURSE, "The course is taught by Ms Rivera."),
    (COURSE, "The seminar by Rivera begins on Monday, 5 November 2027 and costs 200 dollars."),
    (FIRMS, "Karl Keller founded Lumen Optics."),
    (FIRMS, "Ada Keller founded Stern Lenses."),
    (FIRMS, "The firm owns a Boeing 737."),
    (GERMAN, "Hunde fahren kostenlos."),
    (SPANISH, "El horno tiene una pantalla."),
    (FRENCH, "La piscine a un sauna."),
]

NOT_CONTRADICTED = [
    (COURSE, "Smoking is not allowed in the building."),
    (COURSE, "The final exam is not required."),
    (COURSE, "Breaks last at least 10 minutes."),
    (FIRMS, "Stern Lenses was acquired by Lumen Optics in 1963."),
]


async def _verdict(passage: str, claim: str) -> SentenceSupport:
    return await Attributor([SourcePassage(0, passage)]).attribute(claim)


@pytest.mark.parametrize(("passage", "claim", "reason"), CONTRADICTED)
async def test_a_passage_that_says_otherwise_contradicts(
    passage: str, claim: str, reason: str
) -> None:
    found = await _verdict(passage, claim)
    assert found.verdict == "contradicted", found
    assert found.reason.removeprefix("other ").startswith(reason)
    assert found.contradicted_by is not None
    assert found.contradicted_by.method == "facts"


@pytest.mark.parametrize(("passage", "claim"), UNVERIFIABLE)
async def test_another_name_and_another_topic_are_no_contradiction(
    passage: str, claim: str
) -> None:
    found = await _verdict(passage, claim)
    assert found.verdict == "unverifiable", found


@pytest.mark.parametrize(("passage", "claim"), NOT_CONTRADICTED)
async def test_the_same_in_other_words_is_no_contradiction(passage: str, claim: str) -> None:
    found = await _verdict(passage, claim)
    assert found.verdict != "contradicted", found


async def test_the_place_is_the_sentence_that_says_otherwise() -> None:
    found = await _verdict(WARRANTY, "The batteries are covered for 9 months.")
    place = found.contradicted_by
    assert place is not None
    assert WARRANTY[place.start : place.end] == "Batteries are covered for 6 months."


async def test_a_title_says_what_the_contradicting_sentence_is_about() -> None:
    titled = SourcePassage(0, "The period is 43 years.", "Comets > Zorvex")
    right = await Attributor([titled]).attribute("The period of Zorvex is 44 years.")
    other = await Attributor([titled]).attribute("The period of Halley is 44 years.")
    assert (right.verdict, other.verdict) == ("contradicted", "unverifiable")


async def test_a_sentence_that_points_back_contradicts_what_is_said_of_its_subject() -> None:
    found = await _verdict(
        "The Zorvex comet has a long tail. It has a period of 43 years.",
        "The Zorvex comet has a period of 34 years.",
    )
    assert found.verdict == "contradicted"


async def test_a_passage_that_supports_is_stronger_than_one_that_contradicts() -> None:
    sources = [
        SourcePassage(0, "Delivery takes 3 days."),
        SourcePassage(1, "Delivery takes 5 days."),
    ]
    found = await Attributor(sources).attribute("Delivery takes 5 days.")
    assert found.verdict == "supported"
    assert found.contradicted_by is None


async def test_what_half_speaks_of_the_same_is_doubtful_and_left_to_a_judge() -> None:
    embedder = BrokenEmbedder()
    passage = "Express delivery within the country costs 12 euros."
    found = await Attributor([SourcePassage(0, passage)], embedder).attribute(
        "Express delivery to islands costs 20 euros."
    )
    assert found.verdict == "unverifiable"
    assert [place.method for place in found.doubtful] == ["judge"]


async def test_what_claims_nothing_has_no_verdict() -> None:
    assert (await _verdict(WARRANTY, "Here it is:")).verdict is None


@pytest.mark.parametrize("sentence", ["No.", "Not.", "nicht", "ne pas", "?!", "«»", "No no no."])
async def test_a_negation_alone_is_read_without_an_error(sentence: str) -> None:
    assert (await _verdict(sentence, sentence)).verdict != "contradicted"
