"""The shipped weights are what the shipped examples give."""

import pytest

from deployments.guards.recogniser.examples import examples
from deployments.guards.recogniser.lexicon import load_lexicon
from deployments.guards.recogniser.recogniser import parts_of
from deployments.guards.recogniser.training import Examples, trained
from deployments.guards.recogniser.traits import traits
from deployments.guards.recogniser.weights import load_weights


@pytest.fixture(scope="module")
def data() -> Examples:
    return Examples()


def test_examples_are_the_same_every_time_and_of_both_kinds() -> None:
    drawn = examples()
    assert drawn == examples()
    assert len({one.text for one in drawn}) == len(drawn)
    for kind in load_weights():
        assert {one.labels.get(kind) for one in drawn} >= {True, False}  # type: ignore[call-overload]


def test_training_gives_the_shipped_weights(data: Examples) -> None:
    weights, bias = trained(data, "jailbreak")
    shipped = load_weights()["jailbreak"]
    lexicon = load_lexicon()
    for one in data.drawn[::200]:
        for _, _, parts in parts_of(one.text, lexicon):
            for part in parts:
                anew = bias + float(weights[list(traits(part))].sum())
                assert shipped.logit(traits(part)) == pytest.approx(anew, abs=0.3)


def test_a_family_of_attacks_is_found_by_weights_that_never_saw_it(data: Examples) -> None:
    weights, bias = trained(data, "jailbreak", without="jailbreak/unbound_persona")
    tops = [
        max(bias + float(weights[list(part)].sum()) for part in parts)
        for one, parts in zip(data.drawn, data.parts, strict=True)
        if one.family == "jailbreak/unbound_persona"
    ]
    assert sum(top >= 0 for top in tops) / len(tops) > 0.7
