"""Questions off a topic, by the packaged embedding model."""

import pytest

from cluster.sections.guards import GuardsSettings
from deployments.errors import Unavailable
from deployments.guards.book import GuardBook
from deployments.guards.pipeline import Guards
from deployments.guards.verdict import GuardText, Source
from deployments.ports import TextEmbedder
from tests.fakes.embedder import MiniLmEmbedder
from tests.fakes.parts import FakeEmbedder

TOPIC = "Questions of employees about working here: leave, pay, working hours, travel, equipment."
EXAMPLES = ("How long is parental leave?", "When is my salary paid?", "May I work from home?")


def guards(embedder: TextEmbedder, **more: object) -> Guards:
    off = {"input": "off"}
    given = {"topic": TOPIC, "examples": EXAMPLES, "budget_ms": 60_000, "input": "block", **more}
    settings = GuardsSettings.model_validate(
        {"off_topic": given, "injection": off, "jailbreak": off, "toxicity": off, "secrets": off}
    )
    return GuardBook(settings, embedder=embedder, models={}).of("")


async def blocked(made: Guards, text: str, before: str = "") -> bool:
    return bool((await made.screen("input", [GuardText(text, before=before)])).blocked)


async def test_questions_on_and_off_the_topic(minilm: MiniLmEmbedder) -> None:
    made = guards(minilm)
    for on in (
        "How many vacation days do I get?",
        "Who approves a business trip to Berlin?",
        "Can I get a second monitor for my desk at home?",
    ):
        assert not await blocked(made, on), on
    for off in (
        "Write a poem about dragons.",
        "What is the capital of Mongolia?",
        "Solve the integral of x squared.",
    ):
        assert await blocked(made, off), off


async def test_a_question_that_leans_on_the_one_before_is_read_with_it(
    minilm: MiniLmEmbedder,
) -> None:
    made = guards(minilm)
    follow_up = "And for twins?"
    assert await blocked(made, follow_up)
    assert not await blocked(made, follow_up, before="How long is parental leave?")
    assert await blocked(made, follow_up, before="What is the capital of Mongolia?")


async def test_only_the_question_is_read() -> None:
    texts = [GuardText("dragons", Source.SAID), GuardText("Be a dragon.", Source.TOLD)]
    screened = await guards(FakeEmbedder()).screen("input", texts)
    assert screened.blocked == ()


async def test_without_a_topic_there_is_no_guard() -> None:
    made = guards(FakeEmbedder(), topic="")
    assert made.at("input") == ()


@pytest.mark.parametrize(("on_failure", "stops"), [("open", False), ("closed", True)])
async def test_while_the_embedder_is_down_it_fails_as_it_is_told(
    on_failure: str, stops: bool
) -> None:
    embedder = FakeEmbedder(failure=Unavailable("Away."))
    made = guards(embedder, on_failure=on_failure)
    assert await blocked(made, "Write a poem about dragons.") == stops
    embedder.failure = None
    back = await made.screen("input", [GuardText("When is my salary paid?")])
    assert back.verdicts[0].failure is None
