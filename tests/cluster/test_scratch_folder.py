"""Scratch folders: private, gone when closed, and cleared away when their owner was killed."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster.scratch_folder import ScratchFolder

PREFIX = "everloop-scratch-"
OWNER = f"""
import sys
from cluster.scratch_folder import ScratchFolder
folder = ScratchFolder({PREFIX!r})
(folder.path / "kept.txt").write_text("x")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, here and in processes that are started."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_it_is_for_its_owner_only_and_gone_when_closed(temporary: Path) -> None:
    with ScratchFolder(PREFIX) as folder:
        assert folder.path.parent == temporary
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        (folder.path / "inside").mkdir()
    assert not folder.path.exists()
    folder.close()


def test_a_live_owner_s_stays_and_a_killed_one_s_is_removed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        theirs = Path(owner.stdout.readline().strip())
        with ScratchFolder(PREFIX) as ours, ScratchFolder(PREFIX) as another:
            assert (theirs / "kept.txt").is_file()
            assert ours.path.is_dir()
            assert ours.path != another.path
        owner.send_signal(signal.SIGKILL)
        owner.wait(30)
    assert (theirs / "kept.txt").is_file()
    ScratchFolder(PREFIX).close()
    assert not theirs.exists()


def test_only_leftovers_of_its_own_kind_are_removed(temporary: Path) -> None:
    other = temporary / "everloop-other-1"
    target = temporary / "target"
    for folder in (other, target):
        folder.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(target)
    (temporary / f"{PREFIX}file").write_text("x")
    ScratchFolder(PREFIX).close()
    assert sorted(path.name for path in temporary.iterdir()) == [
        "everloop-other-1",
        f"{PREFIX}file",
        f"{PREFIX}link",
        "target",
    ]


def test_programs_that_the_owner_starts_do_not_hold_it(temporary: Path) -> None:
    folder = ScratchFolder(PREFIX)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as program:
        os.close(folder._lock)  # as the kernel does when the owner is killed
        ScratchFolder(PREFIX).close()
        assert not folder.path.exists()
        program.kill()


def test_one_that_is_cleared_away_before_it_is_locked_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another start may look between the making and the locking."""
    make, lock, made = tempfile.mkdtemp, fcntl.flock, []

    def mkdtemp(prefix: str) -> str:
        made.append(make(prefix=prefix))
        return str(made[-1])

    def flock(descriptor: int, operation: int) -> None:
        if len(made) == 1:
            Path(made[0]).rmdir()
        lock(descriptor, operation)

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    monkeypatch.setattr(fcntl, "flock", flock)
    with ScratchFolder(PREFIX) as folder:
        assert [str(folder.path)] == made[1:]
        assert folder.path.is_dir()
