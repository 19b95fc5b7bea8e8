"""«I don't know»: a table of decisions. The benchmark prints the shares on real text."""

import pytest

from deployments.gateway.grounding.support import SupportThresholds, decide_support
from tests.fakes.chat import passage

THRESHOLDS = SupportThresholds(0.30, 0.70)
TEXT = "The warranty of the Model X200 lasts 24 months from the day of purchase."


@pytest.mark.parametrize(
    ("question", "similarity", "supported", "reason"),
    [
        ("How long is the warranty?", 0.6, True, "similar"),
        ("warranty months purchase", 0.2, True, "terms"),
        ("How do I bake bread?", 0.1, False, "off_topic"),
        ("warranty months purchase", 0.1, False, "off_topic"),
        ("How long is the warranty of the X300?", 0.45, False, "unknown_name"),
        ("How long is the warranty of the X300?", 0.7, True, "similar"),
        ("How long is the warranty?", None, True, "terms"),
        ("How do I bake bread?", None, False, "off_topic"),
        ("What is this document about?", 0.05, True, "generic_question"),
    ],
)
def test_decisions(question: str, similarity: float | None, supported: bool, reason: str) -> None:
    decision = decide_support(question, [passage(TEXT, similarity=similarity)], THRESHOLDS)
    assert (decision.supported, decision.reason) == (supported, reason)


def test_no_passages_support_nothing() -> None:
    assert decide_support("Anything?", [], THRESHOLDS).reason == "no_passages"


def test_the_files_name_and_the_titles_count_as_text() -> None:
    found = passage("It lasts 24 months.", filename="x300_manual.pdf", similarity=0.4)
    assert decide_support("How long is the warranty of the X300?", [found], THRESHOLDS).supported
