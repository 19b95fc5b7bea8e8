"""Stands for a process that works: says how it was started, and goes on until it is stopped.

python -m tests.fakes.waiting_process ANYTHING…
"""

import os
import signal
import sys

from cluster.handed_environment import take_over

if __name__ == "__main__":
    take_over()
    print("works:", *sys.argv[1:], os.environ["EVERLOOP_DATA_DIR"], flush=True)
    signal.pause()
