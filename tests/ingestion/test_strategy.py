import pickle
from typing import Any

import pytest

from ingestion.chunking import (
    AutoStrategy,
    ByTitleStrategy,
    ChunkingStrategy,
    SemanticStrategy,
    SentenceStrategy,
    StaticStrategy,
    StrategyError,
    parse_strategy,
)


@pytest.mark.parametrize(
    ("value", "strategy"),
    [
        (None, AutoStrategy()),
        ({"type": "auto"}, AutoStrategy()),
        (
            {
                "type": "static",
                "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50},
            },
            StaticStrategy(200, 50),
        ),
        ({"type": "static", "static": {"max_chunk_size_tokens": 100}}, StaticStrategy(100, 50)),
        ({"type": "sentence"}, SentenceStrategy()),
        ({"type": "sentence", "sentence": {"max_chunk_size_tokens": 64}}, SentenceStrategy(64, 32)),
        ({"type": "by_title", "by_title": {"chunk_overlap_tokens": 10}}, ByTitleStrategy(220, 10)),
        (
            {"type": "semantic", "semantic": {"breakpoint_percentile": 95}},
            SemanticStrategy(220, 95),
        ),
    ],
)
def test_valid(value: dict[str, Any] | None, strategy: ChunkingStrategy) -> None:
    assert parse_strategy(value) == strategy


@pytest.mark.parametrize(
    ("value", "param", "said"),
    [
        ({"type": "magic"}, "chunking_strategy.type", "'by_title'"),
        ({}, "chunking_strategy.type", "None"),
        ("auto", "chunking_strategy", "object"),
        ({"type": "static"}, "chunking_strategy.static", "object"),
        ({"type": "auto", "static": {}}, "chunking_strategy.static", "not a field"),
        (
            {"type": "static", "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}},
            "chunking_strategy.static.max_chunk_size_tokens",
            "from 100 to 4096",
        ),
        (
            {"type": "static", "static": {"max_chunk_size_tokens": 4097}},
            "chunking_strategy.static.max_chunk_size_tokens",
            "4097",
        ),
        (
            {
                "type": "static",
                "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
            },
            "chunking_strategy.static.chunk_overlap_tokens",
            "from 0 to 50",
        ),
        (
            {"type": "sentence", "sentence": {"max_chunk_size_tokens": True}},
            "chunking_strategy.sentence.max_chunk_size_tokens",
            "True",
        ),
        (
            {"type": "semantic", "semantic": {"chunk_overlap_tokens": 5}},
            "chunking_strategy.semantic.chunk_overlap_tokens",
            "breakpoint_percentile",
        ),
    ],
)
def test_invalid_names_the_field_the_value_and_what_is_allowed(
    value: Any, param: str, said: str
) -> None:
    with pytest.raises(StrategyError) as caught:
        parse_strategy(value)
    assert caught.value.param == param
    assert said in str(caught.value)


def test_the_error_is_a_value_error_and_survives_pickling() -> None:
    error = StrategyError("bad", param="chunking_strategy.type", fix="do")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(again, StrategyError)
    assert issubclass(StrategyError, ValueError)
    assert (again.message, again.param, again.fix) == ("bad", "chunking_strategy.type", "do")
