"""No process outlives the one that it asked to die with."""

import contextlib
import subprocess
import sys

import psutil

_CHILD = """
from deployments.model.lifeline import die_with_parent
import sys, time
die_with_parent()
print("tied", flush=True)
time.sleep(600)
"""
_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_parent_takes_its_child_along() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    with contextlib.suppress(psutil.NoSuchProcess):
        child.wait(timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_replica_that_ends_itself_takes_its_children_along() -> None:
    source = """
import subprocess, sys
from deployments.model.lifeline import end_replica

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
end_replica()
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    with contextlib.suppress(psutil.NoSuchProcess):  # who it is left to may not have waited for it
        assert psutil.Process(int(done.stdout)).status() == psutil.STATUS_ZOMBIE
