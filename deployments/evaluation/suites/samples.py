"""The sample suites that ship: what each is for, and copying them to where they can be changed."""

import shutil
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from deployments.evaluation.suites.errors import SuiteError
from deployments.evaluation.suites.items import items_of_file

__all__ = ["SAMPLES", "SampleSuite", "copy_samples", "sample_suites"]

SAMPLES: Final = Path(__file__).parent / "samples"


class SampleSuite(NamedTuple):
    """A suite that ships."""

    path: Path
    name: str
    description: str
    items: int


def sample_suites() -> list[SampleSuite]:
    """Those there are, by name."""
    found: list[SampleSuite] = []
    for path in sorted(SAMPLES.glob("*.yaml")):
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = len(items_of_file(path.parent / tree["data"]))
        found.append(SampleSuite(path, tree["name"], tree["description"], items))
    return found


def copy_samples(folder: Path) -> list[Path]:
    """Copy suites and data. Raises SuiteError where one of the files is there already."""
    files = sorted(path for path in SAMPLES.iterdir() if path.suffix in {".yaml", ".jsonl"})
    there = [path.name for path in files if (folder / path.name).exists()]
    if there:
        raise SuiteError(
            f"{folder} has {', '.join(there)} already.", fix="Name another folder, or move them."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(path, folder / path.name)) for path in files]
