"""Attribution over a table of sentences that a model might write: right, reworded and wrong."""

import pytest

from deployments.gateway.grounding.attribution import Attributor, groundedness
from deployments.gateway.grounding.similarity import SimilarityBudget
from deployments.gateway.grounding.windows import SourcePassage
from tests.fakes.embedder import BrokenEmbedder, MiniLmEmbedder

PASSAGES = [
    "The Zorvex comet was discovered by Ilse Braun in 1987 at the Calar Alto observatory. It has a "
    "period of 43 years. It was last seen in 2019.",
    "The warranty of the Model X200 lasts 24 months from the day of purchase. Batteries are "
    "covered for 6 months. The warranty covers fire damage. It does not cover water damage.",
    "The Model X100 costs 300 dollars. The Model X200 costs 450 dollars and weighs 1,200 g.",
    "Returns are accepted within 30 days. The buyer pays for shipping. Refunds are issued before "
    "the item is inspected. Prices increase by 5% every year.",
    "Marie Curie was born in Warsaw. She won the Nobel Prize in Physics in 1903.",
    "A model replica whose engine makes no progress for 30 seconds while it has work counts as "
    "hung. Ray Serve then stops the replica and starts a new one. Uploads may have up to 512 MiB.",
    "Deleted files are purged within 7 days.",
]

SUPPORTED = [
    ("The Zorvex comet was discovered by Ilse Braun in 1987.", 0),
    ("It has a period of 43 years.", 0),
    ("The Zorvex comet has a period of 43 years.", 0),
    ("Ilse Braun discovered the Zorvex comet at the Calar Alto observatory.", 0),
    ("According to the passage, the Zorvex comet was last seen in 2019.", 0),
    ("The warranty lasts 24 months.", 1),
    ("The Model X200's warranty lasts 24 months from purchase.", 1),
    ("The warranty does not cover water damage.", 1),
    ("Batteries are covered for six months.", 1),
    ("The X200 weighs 1200 grams.", 2),
    ("The Model X200 costs $450.", 2),
    ("The Model X100 costs 300 dollars and the Model X200 costs 450 dollars.", 2),
    ("The answer is: 512 MiB.", 5),
    ("The removed files are purged within 7 days.", 6),
    ("Marie Curie won the Nobel Prize in Physics in 1903.", 4),
    ("Marie Curie was born in Warsaw and won the Nobel Prize in Physics in 1903.", 4),
    ("Prices increase by 5 percent every year.", 3),
    ("Ray Serve stops the hung replica and starts a new one.", 5),
]

UNSUPPORTED = [
    "The Zorvex comet was discovered by Ilse Braun in 1978.",
    "The Zorvex comet was discovered by Karl Braun in 1987.",
    "The Halley comet was discovered by Ilse Braun in 1987.",
    "The Zorvex comet was discovered at the Palomar observatory.",
    "It has a period of 34 years.",
    "It has a period of 43 days.",
    "The comet was last seen in 1987 by Marie Curie.",
    "The warranty covers water damage.",
    "The warranty does not cover fire damage.",
    "The warranty covers theft damage.",
    "The warranty lasts 6 months.",
    "The warranty of the Model X100 lasts 24 months.",
    "The Model X200 costs 300 dollars.",
    "The Model X100 costs 450 dollars.",
    "The Model X300 costs 450 dollars.",
    "The Model X200 costs 450 euros.",
    "The X200 weighs 1200 kilograms.",
    "Returns are accepted within thirty weeks.",
    "Returns are not accepted within 30 days.",
    "The seller pays for shipping.",
    "Refunds are issued after the item is inspected.",
    "Prices decrease by 5% every year.",
    "Prices increase by 15% every year.",
    "Albert Einstein was born in Warsaw.",
    "Marie Curie won the Nobel Prize in Chemistry in 1903.",
    "Marie Curie was born in 1903.",
    "Marie Curie was born in Paris and won the Nobel Prize in Physics in 1903.",
    "Ray Serve then restarts the whole cluster.",
    "Uploads may have up to 512 GiB.",
    "The moon is made of green cheese.",
    "Model X200 batteries are covered for 24 months.",
    "Added files are purged within 7 days.",
    "Paris is the capital of France.",
    "Everyone should buy the Model X200 because it is the best on the market.",
]


@pytest.fixture
def attributor(minilm: MiniLmEmbedder) -> Attributor:
    return Attributor([SourcePassage(i, t) for i, t in enumerate(PASSAGES)], minilm)


@pytest.mark.parametrize("sentence", UNSUPPORTED)
async def test_a_sentence_that_no_passage_says_is_unsupported(
    attributor: Attributor, sentence: str
) -> None:
    result = await attributor.attribute(sentence)
    assert not result.supported, result
    assert result.reason


@pytest.mark.parametrize(("sentence", "passage"), SUPPORTED)
async def test_a_sentence_is_tied_to_the_passage_that_says_it(
    attributor: Attributor, sentence: str, passage: int
) -> None:
    result = await attributor.attribute(sentence)
    assert result.supported, result
    assert result.supports[0].passage == passage


async def test_the_quote_is_the_place_in_the_passage(attributor: Attributor) -> None:
    result = await attributor.attribute("Batteries are covered for 6 months.")
    support = result.supports[0]
    assert PASSAGES[1][support.start : support.end].startswith("Batteries are covered for 6 months")
    assert support.method == "verbatim"


async def test_a_sentence_without_a_claim_counts_neither_way(attributor: Attributor) -> None:
    nothing = await attributor.attribute("Here it is:")
    right = await attributor.attribute("It has a period of 43 years.")
    wrong = await attributor.attribute("It has a period of 44 years.")
    assert not nothing.checkable
    assert groundedness([nothing, right, wrong]) == 0.5
    assert groundedness([nothing]) is None


async def test_offsets_are_those_of_the_answer(attributor: Attributor) -> None:
    result = await attributor.attribute("It has a period of 43 years.", start=7)
    assert (result.start, result.end) == (7, 35)


async def test_titles_above_a_passage_say_what_it_is_about() -> None:
    passage = SourcePassage(0, "The period is 43 years.", "Comets > Zorvex")
    assert (await Attributor([passage]).attribute("The period of Zorvex is 43 years.")).supported
    assert not (
        await Attributor([passage]).attribute("The period of Halley is 43 years.")
    ).supported


async def test_an_embedder_that_is_down_costs_the_third_tier_only() -> None:
    embedder = BrokenEmbedder()
    attributor = Attributor([SourcePassage(0, PASSAGES[6])], embedder)
    assert not (await attributor.attribute("The removed files are purged within 7 days.")).supported
    assert (await attributor.attribute("Deleted files are purged.")).supported
    assert not (await attributor.attribute("The erased files are purged within 7 days.")).supported
    assert embedder.calls == 1, "an embedder that failed is not asked again for this answer"


async def test_the_embedder_is_asked_for_a_bounded_number_of_texts(minilm: MiniLmEmbedder) -> None:
    sources = [SourcePassage(i, text) for i, text in enumerate(PASSAGES)]
    attributor = Attributor(sources, minilm, budget=SimilarityBudget(texts=10))
    before = minilm.texts
    for verb in ("removed", "erased", "wiped", "cleared", "dropped"):
        await attributor.attribute(f"The {verb} files are purged within 7 days.")
    assert 0 < minilm.texts - before <= 10
