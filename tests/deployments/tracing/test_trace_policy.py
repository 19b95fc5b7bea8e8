"""Which traces are kept, what of their inputs, and what they cost."""

from typing import Any

import pytest

from cluster.sections.tracing import PriceSettings
from deployments.tracing.draft import TraceDraft
from deployments.tracing.inputs import request_input
from deployments.tracing.policy import TracePolicy, is_sampled
from deployments.tracing.prices import Prices


def test_a_share_of_the_traces_is_kept_always_the_same_ones() -> None:
    policy = TracePolicy(sample_rate=0.3)
    drafts = [TraceDraft() for _ in range(2000)]
    kept = {draft.id for draft in drafts if policy.keeps(draft)}
    assert 0.25 < len(kept) / len(drafts) < 0.35
    assert kept == {draft.id for draft in drafts if policy.keeps(draft)}
    assert {draft.id for draft in drafts if is_sampled(draft.id, 0.1)} < kept


@pytest.mark.parametrize(
    "looked_for",
    [
        {"status": 503},
        {"status": 499},
        {"refused": True},
        {"experiment_id": "exp_1"},
        {"shadow_of": "trace_1"},
        {"keep": True},
        {"body": {"evaluate": True}},
        {"duration_ms": 2001.0},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_somebody_will_look_for_is_kept(looked_for: dict[str, object]) -> None:
    policy = TracePolicy(sample_rate=0.0, slow_ms=2000.0)
    assert policy.keeps(TraceDraft(**looked_for))  # type: ignore[arg-type]
    assert not policy.keeps(TraceDraft(duration_ms=1999.0, refused=False))


def test_inputs_are_messages_and_options_without_who_asked() -> None:
    messages = [{"role": "user", "content": "Why?"}]
    tools = [{"type": "function", "function": {"name": "look"}}]
    body = {
        "model": "assistant",
        "messages": messages,
        "user": "anna@example.org",
        "safety_identifier": "anna",
        "temperature": 0.5,
        "tools": tools,
        "seed": None,
    }
    assert request_input(messages, body, 1000) == {
        "messages": messages,
        "options": {"temperature": 0.5, "tools": tools},
    }


def test_long_inputs_are_cut_from_the_oldest_on_and_say_so() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "a" * 50},
        {"role": "user", "content": [{"type": "text", "text": "b" * 50}]},
    ]
    made = request_input(messages, {"stop": "c" * 9}, 80)
    first, last = made["messages"]
    assert last["content"][0]["text"] == "b" * 50
    assert first == {"role": "user", "content": "a" * (80 - 4 - 4 - 50 - 4)}
    assert made["options"] == {"stop": ""}
    assert made["cut_characters"] == 9 + 50 - 18


def test_an_adapter_costs_as_its_base_unless_it_is_named() -> None:
    prices = Prices(
        [
            PriceSettings(model="base", prompt_per_million=2, completion_per_million=8),
            PriceSettings(model="ft:dear", prompt_per_million=20),
        ]
    )
    assert prices.cost("base", "base", 1_000_000, 500_000) == 6.0
    assert prices.cost("ft:one", "base", 1_000_000, None) == 2.0
    assert prices.cost("ft:dear", "base", 1_000_000, 500_000) == 20.0
    assert prices.cost("free", None, 10, 10) is None
    assert prices.cost("base", "base", None, None) is None
