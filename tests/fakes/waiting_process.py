"""Stands for a process that works: says how it was started, and goes on until it is stopped.

python -m tests.fakes.waiting_process ANYTHING…
"""

import os
import signal
import sys

if __name__ == "__main__":
    print("works:", *sys.argv[1:], os.environ["EVERLOOP_DATA_DIR"], flush=True)
    signal.pause()
