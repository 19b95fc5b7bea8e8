"""Writers are killed -9 at seeded moments; and the checks do see what is lost."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.drills.crashes import CRASHES, crash

SEEDS = range(3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", CRASHES)
def test_what_a_killed_writer_acknowledged_is_there(kind: str, seed: int, tmp_path: Path) -> None:
    done = crash(kind, seed, tmp_path)
    assert done.acknowledged
    assert done.lost == []


def execute(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "everloop.db")) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("kind", "statement", "said"),
    [
        ("documents", "UPDATE vector_store_files SET stage = 'failed'", "attached 1"),
        ("feedback", "DELETE FROM feedback", "fb_1 a comment"),
        ("promotions", "DELETE FROM alias_moves WHERE version = 1", "1 ft:base:7"),
    ],
)
def test_a_check_sees_what_is_not_in_the_records(
    kind: str, statement: str, said: str, tmp_path: Path
) -> None:
    crash(kind, 0, tmp_path)
    _, check = CRASHES[kind]
    execute(tmp_path, statement)
    assert check(tmp_path, [said])


def test_a_check_sees_an_object_that_is_torn(tmp_path: Path) -> None:
    crash("bytes", 0, tmp_path)
    _, check = CRASHES["bytes"]
    (tmp_path / "bytes" / "same").write_bytes(b"half of it")
    assert check(tmp_path, ["same 00"]) == ["same is gone or torn"]
