"""Which rows are duplicates of which."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.samples import chat, completions, jsonl, said
from training.data.curation.frames import NO_FRAME, Frame
from training.data.curation.grouping import Groups, equal_texts, leaders, near_pairs
from training.data.curation.marking import Mark, Marker, MarkerPlan
from training.data.curation.signatures import Neighbours, Signatures, compared_text
from training.data.reading import read_dataset
from training.data.rows import Row
from training.data.settings import CurationSettings, NearDuplicateSettings
from training.examples import TextExample

BASE = "I ordered a new card over two weeks ago and it still has not arrived at my address"
NEAR = NearDuplicateSettings(threshold=0.7)


def marks(rows: list[Row]) -> list[Mark]:
    marker = Marker(MarkerPlan(CurationSettings(near_duplicates=NEAR), NO_FRAME, None, None))
    return [marker.mark(row)[1] for row in rows]


def jaccard(one: str, other: str, width: int = 5) -> float:
    """Of the runs of characters, counted without hashing."""
    sets = [{text[i : i + width] for i in range(len(text) - width + 1)} for text in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_texts_that_differ_in_case_and_spacing_are_equal() -> None:
    found = equal_texts(marks(completions([("A  b", "c"), ("a b", "C "), ("a b", "d")])))
    assert found == {1: [1, 2], 3: [3]}


def test_who_says_it_is_part_of_the_text() -> None:
    rows = read_dataset(
        jsonl(
            chat(said("user", "a"), said("assistant", "b")),
            chat(said("system", "a"), said("assistant", "b")),
        )
    ).rows
    assert len(equal_texts(marks(list(rows)))) == 2


def test_the_first_of_near_duplicates_leads() -> None:
    rows = completions(
        [
            (BASE, "late"),
            ("Something else that has nothing to do with it", "other"),
            (BASE + " yet", "late"),
            (BASE.replace("two", "three"), "late"),
        ]
    )
    assert leaders(marks(rows), NEAR) == {1: [1, 3, 4], 2: [2]}


def signature(zeros: int, ones: int) -> bytes:
    """Two signatures are as similar as the share of their 128 places that agree."""
    import numpy as np

    return np.repeat(np.array([0, 1], dtype=np.uint32), [zeros, ones]).tobytes()


def test_what_only_shares_a_band_is_not_near() -> None:
    half, most = signature(64, 64), signature(100, 28)
    neighbours = Neighbours(NEAR)
    neighbours.add(1, signature(128, 0))
    assert neighbours.near(half) == []
    assert neighbours.near(most) == [1]


def test_of_two_leaders_the_first_leads() -> None:
    (mark,) = marks(completions([(BASE, "late")]))
    several = [
        replace(mark, line=line, signature=signature(zeros, 128 - zeros))
        for line, zeros in enumerate((128, 64, 96), start=1)
    ]
    assert leaders(several, NEAR) == {1: [1, 3], 2: [2]}


def test_pairs_connect_what_is_near_and_equal_signatures() -> None:
    rows = completions([(BASE, "late"), ("x", "y"), (BASE + " yet", "late"), (BASE + "!", "late")])
    groups = Groups([1, 2, 3, 4])
    for pair in near_pairs(marks(rows), NEAR):
        groups.join(*pair)
    assert groups.all() == {1: [1, 3, 4], 2: [2]}


def test_signatures_estimate_the_jaccard_similarity() -> None:
    import numpy as np

    other = BASE.replace("new card", "card").replace("address", "home")
    settings = NearDuplicateSettings(permutations=1024)
    made = [Signatures(settings, NO_FRAME).of(TextExample(text, "")) for text in (BASE, other)]
    one, two = (np.frombuffer(signature, dtype=np.uint32) for signature in made)
    exact = jaccard(BASE.lower(), other.lower())
    assert 0.6 < exact < 0.8
    assert abs(float((one == two).mean()) - exact) < 0.06  # four standard deviations


def test_the_frame_and_the_system_prompt_are_not_compared() -> None:
    framed = TextExample("Classify the question: Where is it?", "card")
    assert compared_text(framed, Frame(("classify", "the", "question"))) == "where is it card"
    talk = chat(said("system", BASE), said("user", "A b?"), said("assistant"))
    (row,) = read_dataset(jsonl(talk)).examples()
    assert compared_text(row, NO_FRAME) == "a b hello"


def test_a_text_without_words_is_compared_as_it_is() -> None:
    assert compared_text(TextExample("?!", "…"), NO_FRAME) == "?! ..."
    assert len(leaders(marks(completions([("?!", "…"), ("!!!", "-")])), NEAR)) == 2


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=20))
def test_groups_are_the_connected_lines(pairs: list[tuple[int, int]]) -> None:
    groups = Groups(range(1, 13))
    for pair in pairs:
        groups.join(*pair)
    found = groups.all()
    assert sorted(line for lines in found.values() for line in lines) == list(range(1, 13))
    assert all(name == lines[0] for name, lines in found.items())
    assert all(groups.name(one) == groups.name(other) for one, other in pairs)
    reachable = {line: {line} for line in range(1, 13)}
    for one, other in pairs * 12:
        reachable[one] |= reachable[other]
        reachable[other] |= reachable[one]
    assert all(set(lines) == reachable[lines[0]] for lines in found.values())
