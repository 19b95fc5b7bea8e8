"""Curating: what stays, what goes where, and a receipt that accounts for every row."""

import json
import random
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.samples import completions, examples
from training.data.curation.pipeline import Curated, curate
from training.data.curation.receipt import StageReceipt
from training.data.rows import Row
from training.data.settings import (
    CurationSettings,
    LengthSettings,
    NearDuplicateSettings,
    PersonalDataSettings,
    SplitSettings,
)
from training.errors import CurationError
from training.examples import TextExample

WORDS = [
    "".join(pair)
    for pair in product(
        ("ba", "co", "du", "fa", "me", "no"),
        ("lan", "ker", "mit", "ry", "sto", "tel", "vam", "zid"),
    )
]


def sentences(count: int) -> list[str]:
    """Different sentences of ten words."""
    dice = random.Random(0)
    return [" ".join(dice.sample(WORDS, 10)) for _ in range(count)]


def bank() -> list[Row]:
    """40 different questions, then a near-duplicate of each."""
    asked = sentences(40)
    return completions([(q, "a") for q in asked] + [(f"Oh: {q}", "a") for q in asked])


def stage(curated: Curated, name: str) -> StageReceipt:
    (found,) = [stage for stage in curated.receipt.stages if stage.stage == name]
    return found


def lines(rows: tuple[Row, ...]) -> list[int]:
    return [row.line for row in rows]


def test_each_stage_accounts_for_its_rows() -> None:
    rows = [
        *bank()[:40],
        Row(101, TextExample("Hm?", "a")),
        Row(102, TextExample("Write to ann@example.com about what I did not get.", "b")),
        Row(103, TextExample(sentences(1)[0].upper(), "A")),
        Row(104, TextExample("Oh: " + sentences(2)[1], "a")),
        Row(105, TextExample("Why was I asked to prove who I am?", "c")),
    ]
    curated = curate(
        rows,
        CurationSettings(
            lengths=LengthSettings(min_characters=8),
            personal_data=PersonalDataSettings(entities=("EMAIL_ADDRESS",)),
            split=SplitSettings(validation_share=0.2),
        ),
        evaluation=[TextExample("why was I asked to prove who I am", "c")],
    )
    summary = [(s.stage, s.rows_in, s.rows_out, dict(s.removed)) for s in curated.receipt.stages]
    assert summary == [
        ("lengths", 45, 44, {"fewer than 8 characters": 1}),
        ("decontamination", 44, 43, {"a question of the evaluation set": 1}),
        ("personal_data", 43, 43, {}),
        ("exact_duplicates", 43, 42, {"duplicate": 1}),
        ("near_duplicates", 42, 41, {"duplicate": 1}),
        ("split", 41, 41, {}),
    ]
    removed = {s.stage: [(r.line, r.reason) for r in s.examples] for s in curated.receipt.stages}
    assert removed["lengths"] == [(101, "fewer than 8 characters")]
    assert removed["decontamination"] == [(105, "a question of the evaluation set")]
    assert removed["exact_duplicates"] == [(103, "duplicate of line 1")]
    assert removed["near_duplicates"] == [(104, "duplicate of line 2")]
    assert stage(curated, "near_duplicates").groups == ((2, 104),)
    assert stage(curated, "personal_data").changed_lines == (102,)
    assert stage(curated, "personal_data").found == {"EMAIL_ADDRESS": 1}
    by_line = {row.line: row.example for row in (*curated.train, *curated.validation)}
    masked = TextExample("Write to <EMAIL_ADDRESS> about what I did not get.", "b")
    assert by_line[102] == masked
    assert (len(curated.train), len(curated.validation)) == (33, 8)
    assert (curated.receipt.train_rows, curated.receipt.validation_rows) == (33, 8)
    assert json.loads(curated.receipt.json) == json.loads(json.dumps(curated.receipt.document))


def test_equal_input_gives_equal_rows_and_receipt() -> None:
    first, second = curate(bank()), curate(bank())
    assert first == second
    assert first.receipt.sha256 == second.receipt.sha256


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [*rows, Row(999, TextExample("One more question about my pension.", "x"))],
        lambda rows: [replace(rows[0], example=TextExample("Changed", "x")), *rows[1:]],
        lambda rows: rows[::-1],
    ],
)
def test_other_input_gives_another_receipt(change: Any) -> None:
    rows = bank()
    changed = [replace(row, line=line) for line, row in enumerate(change(rows), start=1)]
    assert curate(changed).receipt.sha256_in != curate(rows).receipt.sha256_in


def test_the_receipt_says_which_settings_and_versions_decided() -> None:
    receipt = curate(bank(), CurationSettings(seed=5)).receipt
    assert receipt.seed == 5
    assert set(receipt.libraries) == {"datasketch", "numpy"}
    near = next(stage for stage in receipt.stages if stage.stage == "near_duplicates")
    assert near.settings == NearDuplicateSettings().model_dump()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_near_duplicates_that_are_kept_never_straddle_the_split(share: float) -> None:
    near = NearDuplicateSettings(remove=False, threshold=0.7)
    split = SplitSettings(validation_share=share)
    for seed in range(5):
        curated = curate(bank(), CurationSettings(near_duplicates=near, split=split, seed=seed))
        held = set(lines(curated.validation))
        assert len(held) == round(share * 80)
        assert held == {line + 40 if line <= 40 else line - 40 for line in held}


def test_rows_of_one_question_never_straddle_the_split() -> None:
    rows = completions([(f"Tell me about {n % 10}.", f"{'xyz' * n} {n}") for n in range(60)])
    curated = curate(rows, CurationSettings(split=SplitSettings(validation_share=0.3)))
    asked = {row.line: (row.line - 1) % 10 for row in rows}
    held = {asked[line] for line in lines(curated.validation)}
    assert held
    assert not held & {asked[line] for line in lines(curated.train)}


def test_a_question_that_all_rows_share_does_not_hold_them_together() -> None:
    rows = completions([("Tell me a joke.", joke) for joke in sentences(40)])
    assert len(curate(rows).validation) == 4


def test_the_split_does_not_depend_on_the_order_of_rows() -> None:
    rows = bank()
    near = NearDuplicateSettings(remove=False, threshold=0.7)
    wanted = {
        str(row.example) for row in curate(rows, CurationSettings(near_duplicates=near)).validation
    }
    for seed in range(3):
        shuffled = [row.example for row in rows]
        random.Random(seed).shuffle(shuffled)
        again = [Row(line, example) for line, example in enumerate(shuffled, start=1)]
        held = curate(again, CurationSettings(near_duplicates=near)).validation
        assert {str(row.example) for row in held} == wanted


def test_the_seed_changes_the_split_and_nothing_else() -> None:
    one, other = (curate(bank(), CurationSettings(seed=seed)) for seed in (1, 2))
    assert lines(one.validation) != lines(other.validation)
    assert one.receipt.stages[:-1] == other.receipt.stages[:-1]


def test_a_prompt_around_every_question_makes_no_near_duplicates() -> None:
    prompt = f"You are the assistant of a bank. Answer with one of these: {' '.join(WORDS)}."
    rows = completions([(f"{prompt} Question: {asked}", "a") for asked in sentences(40)])
    curated = curate(rows)
    near = stage(curated, "near_duplicates")
    assert near.rows_out == 40
    assert str(near.settings["frame"]["before"]).startswith("you are the assistant of a bank")


def test_all_stages_can_be_off() -> None:
    off = CurationSettings(
        decontamination=None,
        exact_duplicates=False,
        near_duplicates=NearDuplicateSettings(remove=False),
        split=SplitSettings(validation_share=0),
    )
    rows = [*bank(), Row(999, bank()[0].example)]
    curated = curate(rows, off, evaluation=[bank()[0].example])
    assert curated.train == tuple(rows)
    assert (curated.validation, curated.receipt.stages) == ((), ())
    assert curated.receipt.train_sha256 == curated.receipt.sha256_in


def test_two_rows_of_one_line_are_refused() -> None:
    with pytest.raises(CurationError, match="the same line"):
        curate([Row(1, TextExample("a", "b")), Row(1, TextExample("c", "d"))])


def test_nothing_is_curated_to_nothing() -> None:
    curated = curate([])
    assert (curated.train, curated.validation, curated.receipt.rows) == ((), (), 0)


def test_progress_is_told_row_by_row() -> None:
    heard: list[int] = []
    curate(bank()[:5], progress=heard.append)
    assert heard == [1, 2, 3, 4, 5]


@given(st.lists(examples, max_size=12))
@settings(max_examples=25, deadline=None)
def test_every_row_stays_once_or_is_accounted_for(several: list[Any]) -> None:
    rows = [Row(line, example) for line, example in enumerate(several, start=1)]
    curated = curate(rows)
    kept = lines(curated.train) + lines(curated.validation)
    assert len(kept) == len(set(kept))
    removed = sum(sum(stage.removed.values()) for stage in curated.receipt.stages)
    assert len(kept) + removed == len(rows)
    for before, after in zip(curated.receipt.stages, curated.receipt.stages[1:], strict=False):
        assert before.rows_out == after.rows_in
