"""What `up` started, kept in `data_dir/run/cluster.json` for `status` and `down`."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from cluster.private_folder import make_private_folder

__all__ = ["RunRecord", "read_record", "remove_record", "run_dir", "write_record"]


@dataclass(frozen=True)
class RunRecord:
    """The Ray head that `up` started and the ports it uses."""

    pid: int
    started: float
    """Creation time of the process, which tells it from a later one of the same number."""
    gcs_port: int
    dashboard_port: int
    temp_dir: str
    settings_digest: str = ""
    """Digest of the settings the application was deployed with; empty until it was."""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 0.5
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def run_dir(data_dir: Path) -> Path:
    """Return the folder of run-time state, created when missing."""
    make_private_folder(data_dir)
    folder = data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_record(data_dir: Path) -> RunRecord | None:
    """Return the record, or None when there is none or it cannot be read."""
    try:
        return RunRecord(**json.loads((data_dir / "run" / "cluster.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_record(data_dir: Path, record: RunRecord) -> None:
    """Replace the record in one step."""
    path = run_dir(data_dir) / "cluster.json"
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(asdict(record), indent=2) + "\n")
    temporary.replace(path)


def remove_record(data_dir: Path) -> None:
    """Forget what was started."""
    (data_dir / "run" / "cluster.json").unlink(missing_ok=True)
