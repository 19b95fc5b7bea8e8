"""Check that the documentation says what is there: `python -m tests.check_docs`.

Links lead to files, `make` targets and `everloop` commands exist, and each endpoint of the README's
table is a route of the application.
"""

import re
import sys
from pathlib import Path
from typing import Final

__all__ = ["problems"]

ROOT: Final = Path(__file__).parents[1]
REQUIRED: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs/design.md")
_LINK: Final = re.compile(r"\[[^\]]*\]\((?!https?:|#|mailto:)([^)#\s]+)")
_MAKE: Final = re.compile(r"^\s*(?:\$ )?make ([a-z]+)", re.MULTILINE)
_COMMAND: Final = re.compile(r"^\s*(?:\$ )?everloop ([a-z]+)", re.MULTILINE)
_FENCE: Final = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)
_ENDPOINT: Final = re.compile(r"`(GET|POST|DELETE|PUT|PATCH) (/[^`\s?]*)`")
_PARAMETER: Final = re.compile(r"\{[^}]*\}")


def problems() -> list[str]:
    """List everything that the documentation gets wrong."""
    found = [f"{name} is missing" for name in REQUIRED if not (ROOT / name).is_file()]
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        found += [f"{path.relative_to(ROOT)}: {problem}" for problem in _of_page(path)]
    return found


def _of_page(path: Path) -> list[str]:
    text = path.read_text()
    blocks = "\n".join(_FENCE.findall(text))
    found = [
        f"link to {target}, which does not exist"
        for target in _LINK.findall(text)
        if not (path.parent / target).exists()
    ]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found += [f"`make {name}` is no target" for name in set(_MAKE.findall(blocks)) - targets]
    found += [f"`everloop {name}` is no command" for name in _unknown_commands(blocks)]
    routes = _routes()
    for method, route in sorted(set(_ENDPOINT.findall(text))):
        if routes and (method, _PARAMETER.sub("{}", route)) not in routes:
            found.append(f"`{method} {route}` is no route of the gateway")
    return found


def _unknown_commands(blocks: str) -> set[str]:
    from cluster.cli.app import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    known |= {group.name for group in app.registered_groups}
    return set(_COMMAND.findall(blocks)) - known


def _routes() -> set[tuple[str, str]]:
    """Return the routes that the gateway's sources declare, parameters blanked."""
    declared = {("GET", "/docs")}  # FastAPI's own
    router = re.compile(r"@\w+\.(get|post|delete|put|patch)\(\s*\"([^\"]*)\"")
    for path in sorted((ROOT / "deployments" / "gateway").rglob("*.py")):
        source = path.read_text()
        prefix = next(iter(re.findall(r"APIRouter\([^)]*prefix=\"([^\"]*)\"", source)), "")
        for method, route in router.findall(source):
            whole = prefix + route
            for candidate in (whole, f"/v1{whole}"):
                declared.add((method.upper(), _PARAMETER.sub("{}", candidate)))
    return declared


if __name__ == "__main__":
    wrong = problems()
    print("\n".join(wrong) if wrong else "✓ The documentation agrees with the code.")
    sys.exit(1 if wrong else 0)
