"""The list of files that a folder must hold, with sizes and checksums, written beside them."""

import hashlib
import json
from pathlib import Path
from typing import Final

__all__ = ["MANIFEST", "damage", "origin_of", "sha256_of", "write_manifest"]

MANIFEST: Final = "everloop-manifest.json"
_BLOCK: Final = 1024 * 1024


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, origin: str) -> None:
    """List every file under `folder`. `origin` says where they come from."""
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {"origin": origin, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def origin_of(folder: Path) -> str:
    """Where the files of a folder with a manifest come from; empty where it cannot be read."""
    try:
        return str(json.loads((folder / MANIFEST).read_text())["origin"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def damage(folder: Path, origin: str, *, checksums: bool = False) -> list[str]:
    """Return what differs from the manifest; empty when nothing does.

    Without `checksums` only names, sizes and `origin` are compared, which takes microseconds.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files: dict[str, dict[str, str | int]] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{MANIFEST} cannot be read ({type(error).__name__})"]
    problems = []
    if manifest.get("origin") != origin:
        problems.append(f"made from {manifest.get('origin')}, not from {origin}")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size != expected["bytes"]:
            problems.append(f"{name} has {path.stat().st_size} bytes, not {expected['bytes']}")
        elif checksums and sha256_of(path) != expected["sha256"]:
            problems.append(f"{name} has another checksum")
    return problems
