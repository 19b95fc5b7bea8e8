"""What a judge may say, and how it is demanded and found."""

import pytest

from deployments.errors import InvalidRequest
from deployments.evaluation.judges.choices import Choices, scale
from deployments.evaluation.judges.shape import demand, find, most_tokens


@pytest.mark.parametrize(
    ("bounds", "labels", "values"),
    [
        ((1, 5), "12345", (1, 2, 3, 4, 5)),
        ((0, 9), "0123456789", tuple(range(10))),
        ((0, 1), "0123456789", tuple(step / 9 for step in range(10))),
        ((1, 10), "0123456789", tuple(range(1, 11))),
        ((-1, 1), "0123456789", tuple(-1 + 2 * step / 9 for step in range(10))),
    ],
)
def test_every_score_is_one_digit(
    bounds: tuple[float, float], labels: str, values: tuple[float, ...]
) -> None:
    found = scale(*bounds)
    assert found.labels == tuple(labels)
    assert found.values == pytest.approx(values)


def test_a_scale_says_whether_its_labels_are_its_values() -> None:
    assert scale(1, 5).exact
    assert not scale(0, 1).exact
    assert not Choices(("yes", "no")).exact


def test_the_nearest_label_of_a_value() -> None:
    assert scale(1, 5).nearest(3.4) == "3"
    assert scale(1, 5).nearest(3.5) == "3"
    assert scale(0, 1).nearest(0.98) == "9"


@pytest.mark.parametrize("bounds", [(1, 1), (5, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_range_without_extent_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        scale(*bounds)
    assert raised.value.param == "range"


@pytest.mark.parametrize("labels", [(), ("yes",), ("yes", "yes"), ("yes", " no"), ("yes", "a\nb")])
def test_labels_that_cannot_be_told_apart_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Choices(labels)
    assert raised.value.param == "labels"


def test_a_choice_is_demanded_by_the_engines_grammar() -> None:
    assert demand("choice", ("A", "B")) == {"structured_outputs": {"choice": ["A", "B"]}}


def test_a_schema_is_strict_and_allows_nothing_else() -> None:
    format_ = demand("json_schema", ("A", "B"))["response_format"]["json_schema"]
    assert format_["strict"] is True
    assert format_["schema"]["properties"] == {"verdict": {"type": "string", "enum": ["A", "B"]}}
    assert format_["schema"]["required"] == ["verdict"]
    assert format_["schema"]["additionalProperties"] is False


@pytest.mark.parametrize("shape", ["choice", "json_schema"])
def test_the_longest_label_has_room(shape: str) -> None:
    longest = "ж" * 40
    assert most_tokens(shape, ("A", longest)) > len(longest.encode())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "content", "label", "start"),
    [
        ("choice", "A", "A", 0),
        ("choice", " tie\n", "tie", 1),
        ("choice", "A is better", None, 0),
        ("choice", "", None, 0),
        ("json_schema", '{"verdict": "tie"}', "tie", 13),
        ("json_schema", '{"verdict":"A"}', "A", 12),
        ("json_schema", '{"verdict": "C"}', None, 0),
        ("json_schema", '{"verdict": ["A"]}', None, 0),
        ("json_schema", '{"verdict": "A", "why": "x"}', None, 0),
        ("json_schema", '{"verdict": "A', None, 0),
        ("json_schema", "[]", None, 0),
    ],
)
def test_a_verdict_is_found_or_there_is_none(
    shape: str, content: str, label: str | None, start: int
) -> None:
    found = find(shape, content, ("A", "B", "tie"))  # type: ignore[arg-type]
    assert (found and found.label) == label
    if found is not None:
        assert found.start == start
