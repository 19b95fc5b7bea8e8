"""`python -m tests.fuzz.files`: damaged files of every format, through the real parser process."""

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Final

from ingestion.errors import DocumentError
from ingestion.parser_process import ParserDiedError, ParserProcess
from ingestion.stored_text import parse_document
from tests.fuzz.damage import damaged
from tests.fuzz.file_kinds import sound_files
from tests.fuzz.leaks import leaked

__all__ = ["FileOutcome", "fuzz_files"]

_LIMIT_S: Final = 8.0
_GRACE_S: Final = 5.0
_MEMORY_MIB: Final = 768
_SECRET: Final = "root:x:0:0"
_SHOWN: Final = 60


@dataclass
class FileOutcome:
    """What was parsed and what came of it."""

    seed: int
    files: int = 0
    parsed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By the first words of the reason."""
    faults: list[str] = field(default_factory=list)
    late: int = 0
    """Refused because they took longer than the limit."""
    deaths: int = 0
    slowest_s: float = 0.0
    largest_mib: int = 0
    """The most that a parser process held."""
    seconds: float = 0.0

    def report(self) -> dict[str, Any]:
        """The figures."""
        return {
            "seed": self.seed,
            "files": self.files,
            "parsed": self.parsed,
            "refused": sum(self.refused.values()),
            "late": self.late,
            "deaths": self.deaths,
            "faults": len(self.faults),
            "slowest_s": round(self.slowest_s, 2),
            "largest_process_mib": self.largest_mib,
            "files_per_s": round(self.files / max(self.seconds, 1e-9), 1),
        }


def fuzz_files(files: int, seed: int, kept: Path | None = None) -> FileOutcome:
    """Parse so many; `kept` takes those that were at fault."""
    outcome = FileOutcome(seed)
    chance = random.Random(seed)
    kinds = sound_files()
    everything = [data for _, data in kinds]
    process = ParserProcess(memory_mib=_MEMORY_MIB)
    process.start()
    start = time.monotonic()
    try:
        for _ in range(files):
            name, data = chance.choice(kinds)
            if chance.random() < 0.05:  # under a name that it does not have
                name = chance.choice(kinds)[0]
            bad = damaged(data, everything, chance)
            if (fault := _parsed(process, name, bad, outcome)) is not None:
                outcome.faults.append(f"{outcome.files} {name}: {fault}")
                print(outcome.faults[-1], file=sys.stderr, flush=True)
                if kept is not None:
                    (kept / f"{seed}-{outcome.files}-{name}").write_bytes(bad)
            outcome.files += 1
            outcome.largest_mib = max(outcome.largest_mib, _held_mib(process))
    finally:
        process.close()
    outcome.seconds = time.monotonic() - start
    return outcome


def _parsed(process: ParserProcess, name: str, data: bytes, outcome: FileOutcome) -> str | None:
    """Parse one; what is wrong with how that ended, or None."""
    start = time.monotonic()
    try:
        document = parse_document(process.parse(data, name, _LIMIT_S))
    except DocumentError as error:
        outcome.refused[" ".join(str(error).replace(repr(name), "FILE").split()[:5])] += 1
        said = str(error)
        outcome.late += "took longer" in said
        return f"leak: {said}" if leaked(said, data) else _late(start)
    except ParserDiedError as error:
        outcome.deaths += 1
        return str(error)
    except Exception as error:  # noqa: BLE001 - the finding itself
        return f"untyped {type(error).__name__}: {error}"
    finally:
        outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - start)
    outcome.parsed += 1
    if _SECRET in document.text:
        return "a file of the system was read"
    return _late(start)


def _late(start: float) -> str | None:
    """A file that hangs is ended at the limit; beyond it the machine itself is slow, or we are."""
    took = time.monotonic() - start
    return f"{took:.1f} s" if took > _LIMIT_S + _GRACE_S else None


def _held_mib(process: ParserProcess) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    held = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(held[0]) // 1024 if held else 0


def main() -> None:
    """Parse them, print the figures; exit 1 where one was at fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the files at fault")
    options = parser.parse_args()
    outcome = fuzz_files(options.files, options.seed, options.keep)
    for fault in outcome.faults[:_SHOWN]:
        print(fault)
    kinds = Counter(PurePath(fault.split(":")[0]).suffix for fault in outcome.faults)
    reasons = dict(outcome.refused.most_common(15))
    print(json.dumps({**outcome.report(), "by_kind": kinds, "reasons": reasons}, indent=2))
    sys.exit(bool(outcome.faults))


if __name__ == "__main__":
    main()
