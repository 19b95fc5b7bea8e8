"""Write the installed versions to `cpu.lock`: `python -m cluster.requirements.lock`."""

import importlib.metadata
import re

from cluster.requirements.install import BREAKERS, LOCK

__all__ = ["locked_lines"]

_OWN = ("everloop", "pip", "setuptools", "wheel")


def locked_lines() -> list[str]:
    """Return `name==version` for every installed package but ours and the breakers."""
    pins = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()
        if name not in {*_OWN, *BREAKERS}:
            pins[name] = distribution.version
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


if __name__ == "__main__":
    header = [line for line in LOCK.read_text().splitlines() if line.startswith("#")]
    LOCK.write_text("\n".join([*header, *locked_lines()]) + "\n")
    print(f"{len(locked_lines())} versions in {LOCK}")
