"""Secrets that were planted in the running system's settings are found nowhere but where they lie.

Nor is the key that `up` made.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from cluster.key_file import key_file_path
from cluster.launch.processes import cluster_id, marked_processes
from cluster.launch.run_record import read_record
from tests.end_to_end.test_documents import MODEL
from tests.fixtures.system import PLANTED, System

pytestmark = [pytest.mark.end_to_end]

WRONG_KEY = f"sk-{PLANTED}-of-somebody-who-mistook-the-address"
HOLDERS = ("env", "secret.key")
"""Files of the data folder that are there to hold secrets, for their owner only."""
HOLDING_FOLDER = ".environments"
CHUNK = 1 << 20
DASHBOARD = (
    "/api/v0/actors?detail=1&limit=1000",
    "/api/v0/tasks?detail=1&limit=1000",
    "/api/v0/workers?detail=1&limit=1000",
    "/api/v0/runtime_envs?detail=1&limit=1000",
    "/api/jobs/",
    "/api/serve/applications/",
    "/logical/actors",
    "/nodes?view=summary",
    "/api/cluster_status?format=1",
)
COMMANDS = (("config", "--json"), ("status", "--json"), ("doctor", "--json"), ("config",))


@pytest.fixture(scope="module")
def secrets(system: System) -> re.Pattern[bytes]:
    """What must not be seen."""
    assert PLANTED in json.dumps(system.environment)
    return re.compile(f"{PLANTED}|{re.escape(system.key)}".encode())


@pytest.fixture(scope="module")
def used(system: System) -> Iterator[dict[str, str]]:
    """Answers and traces of requests that went well and that did not."""
    told: dict[str, str] = {}
    asked: Any = [{"role": "user", "content": "Say hello."}]
    with system.client(max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=asked, max_tokens=4
        )
        told["answer"] = f"{dict(raw.headers)}{raw.text}"
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="nobody", messages=asked)
        told["refusal"] = missing.value.response.text
        wrong = client.with_options(api_key=WRONG_KEY)
        with pytest.raises(openai.AuthenticationError) as refused:
            wrong.models.list()
        told["401"] = refused.value.response.text
        for path in ("/traces?limit=100", "/models", "/audit", "/keys"):
            told[path] = json.dumps(client.get(path, cast_to=object))
    yield told


def test_not_in_answers_nor_in_traces(used: dict[str, str], secrets: re.Pattern[bytes]) -> None:
    assert [name for name, text in used.items() if secrets.search(text.encode())] == []
    assert "Say hello." in used["/traces?limit=100"]


def test_not_in_what_lies_in_the_data_folder_nor_in_rays_logs(
    system: System, used: dict[str, str], secrets: re.Pattern[bytes]
) -> None:
    record = read_record(system.data_dir)
    assert record is not None
    logs = list(files(Path(record.temp_dir)))
    kept = [
        path
        for path in files(system.data_dir)
        if path.name not in HOLDERS and HOLDING_FOLDER not in path.parts
    ]
    assert any("serve" in path.parts for path in logs)
    assert any(path.name == "everloop.db" for path in kept)
    assert [str(path) for path in {*logs, *kept} if holds(path, secrets)] == []


def test_the_files_that_hold_them_are_their_owners(
    system: System, secrets: re.Pattern[bytes]
) -> None:
    assert holds(key_file_path(system.data_dir), secrets)
    holders = [path for path in files(system.data_dir) if path.name in HOLDERS]
    assert key_file_path(system.data_dir) in holders
    folders = list(system.data_dir.rglob(HOLDING_FOLDER))
    assert [path for path in (*holders, *folders) if path.stat().st_mode & 0o077] == []


def test_not_in_the_list_of_processes(system: System, secrets: re.Pattern[bytes]) -> None:
    found = marked_processes(cluster_id(system.data_dir))
    lines = [line for process in found if (line := told_by_linux(process, "cmdline"))]
    assert len(lines) > 5
    assert [line for line in lines if secrets.search(line)] == []
    # They are there: in environments, which nobody but their owner reads.
    assert any(secrets.search(told_by_linux(process, "environ")) for process in found)


def test_not_on_rays_dashboard(system: System, secrets: re.Pattern[bytes]) -> None:
    record = read_record(system.data_dir)
    assert record is not None
    with httpx.Client(
        base_url=f"http://127.0.0.1:{record.dashboard_port}", trust_env=False, timeout=30
    ) as dashboard:
        for path in DASHBOARD:
            answer = dashboard.get(path)
            assert answer.status_code == httpx.codes.OK, f"{path}: {answer.text[:300]}"
            assert secrets.search(answer.content) is None, path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_not_in_what_the_command_line_says(
    system: System, secrets: re.Pattern[bytes], command: tuple[str, ...]
) -> None:
    done = system.everloop(*command)
    assert done.stdout
    assert secrets.search(f"{done.stdout}{done.stderr}".encode()) is None


def files(folder: Path) -> Iterator[Path]:
    """Every file, links left out."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def holds(path: Path, secrets: re.Pattern[bytes]) -> bool:
    """Whether a file has one of them, read in parts that overlap."""
    tail = b""
    try:
        with path.open("rb") as file:
            while part := file.read(CHUNK):
                if secrets.search(tail + part):
                    return True
                tail = part[-256:]
    except FileNotFoundError:  # the system goes on while we look
        return False
    return False


def told_by_linux(process: psutil.Process, what: str) -> bytes:
    """A file of `/proc`; empty once the process has ended."""
    try:
        return Path(f"/proc/{process.pid}/{what}").read_bytes()
    except OSError:
        return b""
