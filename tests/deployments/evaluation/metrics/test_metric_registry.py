"""Finding a metric, and what is said of wrong options."""

import subprocess
import sys
from typing import Any

import pytest

from deployments.errors import InvalidRequest
from deployments.evaluation.metrics import registry
from deployments.evaluation.metrics.registry import METRICS, check_options, find_metric

OPENAI = {"cosine", "fuzzy_match", "bleu", "gleu", *(f"rouge_{last}" for last in "12345l")}
"""What the openai client's `text_similarity` may ask for, but meteor."""


def test_every_metric_is_found_by_its_name() -> None:
    names = [metric.name for metric in registry._ALL]
    assert len(set(names)) == len(names)
    assert [find_metric(name).name for name in names] == names
    assert set(METRICS) >= OPENAI


def test_an_unknown_metric_is_told_which_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"'rogue_l'.* there are .*rouge_l") as caught:
        find_metric("rogue_l")
    assert caught.value.param == "metric"


def test_meteor_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="'meteor' cannot be had: it needs WordNet"):
        find_metric("meteor")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rouge_l", {}),
        ("rouge_l", {"stemmer": True, "tokenizer": "ascii"}),
        ("ndcg_at_k", {"k": 5}),
        ("numeric", {"absolute": 1, "relative": 0.5}),
        ("json_schema", {"schema": {"type": "object"}}),
        ("cost", {"prompt_price": 0, "completion_price": 2.5}),
    ],
)
def test_right_options_pass_as_they_are(name: str, options: dict[str, Any]) -> None:
    assert check_options(find_metric(name), options) == options


@pytest.mark.parametrize(
    ("name", "options", "param", "message"),
    [
        ("rouge_l", {"stem": True}, "stem", "it has: stemmer, tokenizer"),
        ("gleu", {"stemmer": True}, "stemmer", "it has: none"),
        ("rouge_l", {"stemmer": "yes"}, "stemmer", "is 'yes': Input should be a valid boolean"),
        ("rouge_l", {"tokenizer": "x"}, "tokenizer", "'ascii' or 'words'"),
        ("ndcg_at_k", {"k": 0}, "k", "greater than or equal to 1"),
        ("ndcg_at_k", {"k": True}, "k", "valid integer"),
        ("ndcg_at_k", {"k": "5"}, "k", "valid integer"),
        ("chrf", {"word_order": True}, "word_order", "valid integer"),
        ("numeric", {"absolute": -1.0}, "absolute", "greater than or equal to 0"),
        ("numeric", {"absolute": float("nan")}, "absolute", "Input should be"),
        ("cost", {"prompt_price": 1.0}, "completion_price", "needs this option"),
    ],
)
def test_a_wrong_option_is_named(
    name: str, options: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_options(find_metric(name), options)
    assert caught.value.param == f"options.{param}"
    assert message in caught.value.message


def test_listing_metrics_loads_no_heavy_library() -> None:
    heavy = "torch, transformers, sacrebleu, rouge_score, nltk, bert_score, rapidfuzz, jsonschema"
    module = "deployments.evaluation.metrics.registry"
    code = f"import sys, {module}; print(sorted(set('{heavy}'.split(', ')) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
