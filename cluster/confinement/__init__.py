"""Taking rights away from a process for good, with what the Linux kernel has; no packages."""

from cluster.confinement.bounds import bare_environment, limit_memory
from cluster.confinement.layers import Layers, confine, isolate

__all__ = ["Layers", "bare_environment", "confine", "isolate", "limit_memory"]
