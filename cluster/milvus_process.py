"""The process of the embedded Milvus Lite server: `python -m cluster.milvus_process …`.

Milvus Lite's own command, in a process that cannot outlive the one that started it.
"""

import ctypes
import os
import signal
import sys
from typing import Final

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1


def _die_with(owner: int) -> None:
    """Ask Linux for SIGKILL when the owner dies (prctl(2)); rows survive it in the log."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:  # it died before we asked
        sys.exit("The owner of this Milvus Lite server is gone.")


def main() -> None:
    """Serve `argv[2:]`, Milvus Lite's own arguments, for the process `argv[1]`."""
    _die_with(int(sys.argv[1]))
    from milvus_lite.cmdline import main as milvus_lite

    from cluster import milvus_rows, milvus_scoring, milvus_writes

    if not milvus_writes.install():
        sys.exit("This Milvus Lite is built in another way than 3.2: writes could get lost.")
    if not (milvus_scoring.install() and milvus_rows.install()):
        print("This Milvus Lite is built in another way than 3.2; searches are slower.")
    sys.exit(milvus_lite(["server", *sys.argv[2:]]))


if __name__ == "__main__":
    main()
