"""Folders of replicas: the dead ones' go, the living ones' stay."""

import subprocess
import sys
from pathlib import Path

from deployments.model.replica_folder import ReplicaFolder

_OWNER = """
import sys, time
from pathlib import Path
from deployments.model.replica_folder import ReplicaFolder
folder = ReplicaFolder(Path(sys.argv[1]))
(folder.path / "weights").write_text("x")
print(folder.path, flush=True)
time.sleep(600)
"""


def test_a_killed_replicas_folder_goes_and_a_running_ones_stays(tmp_path: Path) -> None:
    owners = [
        subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    dead, alive = (Path(owner.stdout.readline().strip()) for owner in owners if owner.stdout)
    owners[0].kill()
    owners[0].wait()
    own = ReplicaFolder(tmp_path)
    try:
        assert not dead.exists()
        assert (alive / "weights").is_file()
        assert own.path.is_dir()
    finally:
        owners[1].kill()
        for owner in owners:
            owner.communicate()


def test_a_folder_that_is_closed_is_gone(tmp_path: Path) -> None:
    folder = ReplicaFolder(tmp_path)
    (folder.path / "x").write_text("x")
    folder.close()
    assert list(tmp_path.iterdir()) == []
