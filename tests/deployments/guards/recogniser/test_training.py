"""The shipped weights are what the shipped examples give."""

import re
from pathlib import Path

import pytest

from deployments.guards.recogniser.background import load_background
from deployments.guards.recogniser.examples import examples
from deployments.guards.recogniser.lexicon import load_lexicon
from deployments.guards.recogniser.recogniser import parts_of
from deployments.guards.recogniser.training import Examples, _gathered, trained
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


def test_words_that_forms_share_are_filled_in() -> None:
    assert not [one.text for one in examples() if re.search(r"\$[a-z]", one.text)]
    addressed = [one.text for one in examples() if one.family == "injection/duties_of_machines"]
    assert len({text.split()[0] for text in addressed}) > 20


def test_more_background_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The agent forwards the mails. The office opens at eight.")
    before = {place: parts[:200] for place, parts in load_background(load_lexicon()).items()}
    gathered = _gathered({"documents": tmp_path}, before)
    size = len(before["documents"])
    assert gathered["questions"] == before["questions"]
    assert gathered["documents"][:size] == before["documents"]
    assert len(gathered["documents"]) > size


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
