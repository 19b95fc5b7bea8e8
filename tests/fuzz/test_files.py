"""A seeded few dozen damaged files; `python -m tests.fuzz.files` parses thousands."""

import random

import pytest

from ingestion.loaders import load_document
from tests.fuzz.damage import damaged
from tests.fuzz.file_kinds import sound_files
from tests.fuzz.files import fuzz_files

FILES = 150


@pytest.mark.parametrize("name", [name for name, _ in sound_files()])
def test_every_file_is_sound_before_it_is_damaged(name: str) -> None:
    assert load_document(dict(sound_files())[name], name).text


def test_damage_is_the_same_for_a_seed_and_leaves_little_as_it_was() -> None:
    kinds = sound_files()
    others = [data for _, data in kinds]

    def made(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [damaged(data, others, chance) for _, data in kinds]

    assert made(1) == made(1)
    assert sum(one in others for one in made(1)) < len(kinds) // 3


def test_damaged_files_are_parsed_or_refused_with_a_reason() -> None:
    outcome = fuzz_files(FILES, 5)
    assert not outcome.faults
    assert outcome.deaths == 0
    assert outcome.parsed + sum(outcome.refused.values()) == outcome.files == FILES
    assert outcome.parsed > 20
    assert sum(outcome.refused.values()) > 20
