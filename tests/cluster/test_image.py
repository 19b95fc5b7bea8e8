"""The image is described soundly. Building it needs Docker, which tests do not."""

import json
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from cluster.settings import resolve_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "cluster" / "image" / "Dockerfile"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Each instruction and what follows it."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(one[0], " ".join(one[1].split())) for one in found]


def of(steps: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in steps if instruction == name]


def test_it_does_not_run_as_root(steps: list[tuple[str, str]]) -> None:
    *_, user = of(steps, "USER")
    number, group = user.split(":")
    assert int(number) > 0
    assert int(group) > 0
    after = [instruction for instruction, _ in steps][::-1]
    assert "RUN" not in after[: after.index("USER")]


def test_its_base_is_one_version(steps: list[tuple[str, str]]) -> None:
    bases = of(steps, "FROM")
    assert bases
    for base in bases:
        assert re.match(r"python:3\.11\.\d+-slim-\w+( AS \w+)?$", base), base


def test_what_it_copies_is_here_and_reaches_the_build(steps: list[tuple[str, str]]) -> None:
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    copies = [copy for copy in of(steps, "COPY") if not copy.startswith("--from")]
    sources = [word for copy in copies for word in copy.split()[:-1]]
    assert {"cluster", "ingestion", "training", "deployments"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
    assert ignored[0] == "*"  # nothing comes along that was not named


def test_it_installs_by_the_lock_with_hashes(steps: list[tuple[str, str]]) -> None:
    runs = of(steps, "RUN")
    assert "python cluster/requirements/install.py" in runs
    assert (ROOT / "cluster/requirements/install.py").is_file()
    assert not [run for run in runs if "pip install" in run]


def test_its_command_stays_and_its_health_is_asked_for(steps: list[tuple[str, str]]) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (entry,) = of(steps, "ENTRYPOINT")
    assert json.loads(entry)[0] in scripts
    (command,) = of(steps, "CMD")
    assert json.loads(command) == ["up", "--wait"]
    (health,) = of(steps, "HEALTHCHECK")
    *_, module = json.loads(health.partition("CMD ")[2])
    assert hasattr(import_module(module), "is_alive")


def test_its_settings_are_valid_and_its_data_lies_in_volumes(steps: list[tuple[str, str]]) -> None:
    words = [word.split("=", 1) for rest in of(steps, "ENV") for word in shlex.split(rest)]
    variables = {name: value for name, value in words if name.startswith("EVERLOOP_")}
    settings, _ = resolve_settings(environ=variables)
    (volumes,) = of(steps, "VOLUME")
    assert {str(settings.data_dir), str(settings.cache_dir)} == set(json.loads(volumes))
    assert of(steps, "EXPOSE") == [str(settings.http.port)]


def test_it_holds_no_secret(steps: list[tuple[str, str]]) -> None:
    given = [rest for name, rest in steps if name in {"ENV", "ARG"}]
    assert not [rest for rest in given if re.search(r"(?i)secret|token|password|api_key", rest)]
