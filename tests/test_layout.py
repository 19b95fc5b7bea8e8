"""The walls of the house: imports point one way, and the gateway stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "cluster": {"cluster"},
    "ingestion": {"cluster", "ingestion"},
    "training": {"cluster", "ingestion", "training"},
    "deployments": {"cluster", "ingestion", "training", "deployments"},
}


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names & MAY_IMPORT.keys() | names & {"tests"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(found - MAY_IMPORT[package])
        for path in (ROOT / package).rglob("*.py")
        if (found := imported_packages(path)) - MAY_IMPORT[package]
    }
    assert wrong == {}


@pytest.mark.parametrize("module", ["deployments.gateway.app", "deployments.handles"])
def test_the_gateway_loads_no_model_library(module: str) -> None:
    heavy = "torch, vllm, transformers, sentence_transformers, unstructured"
    code = f"import sys, {module}; print(sorted(set('{heavy}'.split(', ')) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
