"""Giving up rights for good, in processes that nobody needs after."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534
CONFINED = """
import os, sys
from pathlib import Path
from cluster.confinement import confine, isolate

folder = Path(sys.argv[1])
os.chdir(folder)
layers = confine(isolate(), [Path("/usr/lib")], folder)
Path("mine").write_text("x")
print(os.geteuid(), layers.user)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_who_becomes_nobody_is_given_its_folder_and_nobody_else_is() -> None:
    with tempfile.TemporaryDirectory() as name:
        told = subprocess.run(
            [sys.executable, "-c", CONFINED, name], capture_output=True, text=True, check=True
        )
        assert told.stdout == f"{NOBODY} in force\n"
        folder = Path(name).stat()
        assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (NOBODY, 0o700)
        assert (Path(name) / "mine").stat().st_uid == NOBODY
