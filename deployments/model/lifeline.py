"""No engine process outlives its replica.

vLLM's engine runs in child processes that are not told when the replica is killed; they would hold
the model's memory for ever. On Linux the kernel kills a child that asked for it (`prctl(2)`,
PR_SET_PDEATHSIG) as soon as its parent is gone.
"""

import ctypes
import os
import signal
import sys
from typing import Any, Final

from cluster.errors import EverloopError
from deployments.model.vllm_resuming import advance_grammars

__all__ = ["end_replica", "kill_children", "run_engine_core", "tie_engine_to_replica"]

_PR_SET_PDEATHSIG: Final = 1


def tie_engine_to_replica() -> None:
    """Have engines that this process starts from now on die with it.

    The engine's process starts in a function that is pickled by name, so ours takes its place.
    """
    from vllm.v1.engine.core import EngineCoreProc

    if not hasattr(EngineCoreProc, "run_engine_core"):
        raise EverloopError(
            "This vLLM starts its engine differently, so it could outlive its replica.",
            fix="Install the vLLM version that pyproject.toml names.",
        )
    EngineCoreProc.run_engine_core = staticmethod(run_engine_core)


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """The main function of an engine process."""
    die_with_parent()
    advance_grammars()
    from vllm.v1.engine.core import EngineCoreProc
    from vllm.v1.executor.multiproc_executor import WorkerProc

    WorkerProc.worker_main = staticmethod(run_worker)
    EngineCoreProc.run_engine_core(*args, **kwargs)


def run_worker(*args: Any, **kwargs: Any) -> None:
    """The main function of a worker process of an engine."""
    die_with_parent()
    from vllm.v1.executor.multiproc_executor import WorkerProc

    WorkerProc.worker_main(*args, **kwargs)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def end_replica() -> None:
    """End this process and its children at once. Its calls are taken to another replica."""
    kill_children()
    os._exit(1)


def kill_children() -> None:
    """Kill every process that this one has started, directly or not."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
