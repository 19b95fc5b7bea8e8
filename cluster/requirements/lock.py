"""Write the installed versions, with the hashes of their files, to `cpu.lock`.

`python -m cluster.requirements.lock` (`make lock`). The hashes are of every file that the
configured package index has of a version, so that the lock serves all platforms and both Pythons;
the index is asked by pip-tools.
"""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cluster.requirements.install import BREAKERS, LOCK

__all__ = ["installed_pins", "kept_entries"]

_OWN = ("everloop", "pip", "setuptools", "wheel")
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==")


def installed_pins() -> list[str]:
    """Return `name==version` for every installed package but ours and the breakers."""
    pins = {}
    for distribution in importlib.metadata.distributions():
        name = _normal(distribution.name)
        if name not in {*_OWN, *BREAKERS}:
            pins[name] = distribution.version
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def kept_entries(lines: Iterable[str], pins: Sequence[str]) -> Iterator[str]:
    """The lines of a compiled requirements file that belong to `pins`, and no other package's."""
    wanted = {pin.partition("==")[0] for pin in pins}
    kept = False
    for line in lines:
        if found := _PIN.match(line):
            kept = _normal(found[1]) in wanted
        if kept:
            yield line


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _compiled(pins: Sequence[str]) -> list[str]:
    """The same with `--hash` lines. Raises CalledProcessError where the index does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "pins.in", Path(folder) / "hashed.txt"
        given.write_text("\n".join(pins) + "\n")
        command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes"]
        command += ["--allow-unsafe", "--no-annotate", "--no-header", "--no-emit-options"]
        command += ["--no-strip-extras", f"--output-file={made}", str(given)]
        subprocess.run(command, check=True)
        return made.read_text().splitlines()


if __name__ == "__main__":
    header = [line for line in LOCK.read_text().splitlines() if line.startswith("#")]
    pins = installed_pins()
    entries = list(kept_entries(_compiled(pins), pins))
    LOCK.write_text("\n".join([*header, *entries]) + "\n")
    print(f"{len(pins)} versions in {LOCK}")
