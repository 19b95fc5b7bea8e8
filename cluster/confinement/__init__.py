"""Taking rights away from a process for good, with what the Linux kernel has; no packages."""

from cluster.confinement.layers import Layers, confine, isolate

__all__ = ["Layers", "confine", "isolate"]
