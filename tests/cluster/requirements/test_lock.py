"""The lock has the hash of every file, and holds what is installed and nothing else."""

import re

from cluster.doctor.packages import parse_lock
from cluster.requirements.install import BREAKERS, LOCK
from cluster.requirements.lock import installed_pins, kept_entries


def test_every_locked_version_has_the_hash_of_its_files() -> None:
    text = LOCK.read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(entries) == len(parse_lock(LOCK.read_text()))
    assert [
        entry for entry in entries if not re.search(r" --hash=sha256:[0-9a-f]{64}", entry)
    ] == []


def test_what_breaks_a_cpu_torch_is_not_locked() -> None:
    assert not set(BREAKERS) & set(parse_lock(LOCK.read_text()))


def test_the_environment_is_what_is_locked() -> None:
    assert dict(pin.split("==") for pin in installed_pins()) == parse_lock(LOCK.read_text())


def test_entries_of_other_packages_are_left_out_with_their_hashes() -> None:
    compiled = ["a-b==1 \\", "    --hash=sha256:1", "pip==2 \\", "    --hash=sha256:2", "c[x]==3"]
    assert list(kept_entries(compiled, ["a-b==1", "c==3"])) == [
        "a-b==1 \\",
        "    --hash=sha256:1",
        "c[x]==3",
    ]
