"""Each check, by table, with probes of our own."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cluster.confinement import Layers
from cluster.confinement.probe import probe_layers
from cluster.doctor.diagnosis import part_listeners
from cluster.doctor.machine import (
    check_disk,
    check_gpu,
    check_memory,
    check_placement,
    check_ports,
    check_processor,
    check_ray_exposure,
    flags_of,
)
from cluster.doctor.packages import check_lock, check_python, check_torchvision, parse_lock
from cluster.doctor.sandbox import check_sandbox
from cluster.doctor.services import check_model_files, check_service
from cluster.errors import DatabaseError, ModelSourceError
from cluster.settings import Settings, load_settings

GIB = 1024**3
CPU = {"id": "m", "device": "cpu"}
GPU = {"id": "m", "device": "gpu", "dtype": "bfloat16", "tensor_parallel": 2}


def settings(**over: Any) -> Settings:
    return load_settings(over)


def versions(**installed: str) -> Callable[[str], str | None]:
    return lambda name: installed.get(name.replace("-", "_"))


@pytest.mark.parametrize(
    ("version", "status"), [((3, 11), "ok"), ((3, 12), "ok"), ((3, 10), "fail"), ((3, 13), "fail")]
)
def test_python(version: tuple[int, int], status: str) -> None:
    assert check_python(version).status == status


@pytest.mark.parametrize(
    ("flags", "model", "status"),
    [
        ({"avx2", "avx512f"}, CPU, "ok"),
        ({"avx2"}, CPU, "ok"),
        ({"avx2"}, CPU | {"dtype": "bfloat16"}, "warn"),
        ({"sse4_2"}, CPU, "fail"),
        (set(), CPU, "warn"),
        ({"sse4_2"}, GPU, "ok"),
    ],
)
def test_processor(flags: set[str], model: dict[str, Any], status: str) -> None:
    assert check_processor(frozenset(flags), settings(models=[model])).status == status


def test_flags_are_read_from_cpuinfo() -> None:
    assert "avx2" in flags_of("processor\t: 0\nflags\t\t: fpu avx2 fma\n")


@pytest.mark.parametrize(
    ("gpus", "model", "status"),
    [(None, CPU, "ok"), (None, GPU, "fail"), ([], GPU, "fail"), (["H100, 570, 80 GB"], GPU, "ok")],
)
def test_gpu(gpus: list[str] | None, model: dict[str, Any], status: str) -> None:
    assert check_gpu(gpus, settings(models=[model])).status == status


@pytest.mark.parametrize(
    ("free_gib", "running", "status"),
    [(16, False, "ok"), (4.5, False, "warn"), (1, False, "fail"), (1, True, "ok")],
)
def test_memory(free_gib: float, running: bool, status: str) -> None:
    assert check_memory(int(free_gib * GIB), settings(), running=running).status == status


@pytest.mark.parametrize(
    ("free", "status"), [(5 * GIB, "ok"), (1 * GIB, "warn"), (0, "fail"), (None, "fail")]
)
def test_disk(free: int | None, status: str) -> None:
    assert check_disk("/data", free, 2.0).status == status


def test_a_taken_port_is_told_with_its_owner_and_its_setting() -> None:
    owner = {8000: "nginx (pid 7)"}
    check = check_ports(settings(), owner.get, running=False)
    assert check.status == "fail"
    assert "nginx (pid 7)" in check.found
    assert "EVERLOOP_HTTP__PORT" in check.advice


def test_our_own_ports_are_no_problem_while_we_run() -> None:
    assert check_ports(settings(), lambda _port: "python (pid 7)", running=True).status == "ok"


def test_two_settings_of_one_port_fail() -> None:
    over = settings(http={"port": 8265})
    assert check_ports(over, lambda _port: None, running=False).status == "fail"


@pytest.mark.parametrize(
    ("model", "cpus", "gpus", "status"),
    [
        (CPU, 2.0, 0, "ok"),
        (CPU, 1.0, 0, "fail"),
        (CPU | {"cpus_per_replica": 8}, 4.0, 0, "fail"),
        (GPU, 16.0, 1, "fail"),
        (GPU, 16.0, 2, "ok"),
    ],
)
def test_placement(model: dict[str, Any], cpus: float, gpus: int, status: str) -> None:
    assert check_placement(settings(models=[model]), cpus, gpus).status == status


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("127.0.0.1", "ok"),
        ("::ffff:127.0.0.1", "ok"),
        ("0.0.0.0", "fail"),  # noqa: S104 - the very thing that is looked for
        ("::", "fail"),
        ("192.0.2.7", "fail"),
    ],
)
def test_ray_open_to_the_network_fails(address: str, status: str) -> None:
    check = check_ray_exposure([(address, 6379, "gcs_server")], front=8000)
    assert check.status == status
    assert ("gcs_server" in check.found) is (status == "fail")


def test_the_http_front_may_be_open_to_the_network() -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    assert check_ray_exposure([(everywhere, 8000, "ray::ProxyActor")], front=8000).status == "ok"


@pytest.mark.parametrize(
    "command",
    [
        ["ray::ServeReplica", "-c"],
        ["gcs_server", "-c"],
        ["python", "-c", "# cluster.milvus_process\n"],
    ],
)
def test_where_parts_listen_is_found(command: list[str]) -> None:
    script = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    command = [*command[:2], "".join([*command[2:], script])]
    with subprocess.Popen(
        command,
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as part:
        assert part.stdout is not None
        port = int(part.stdout.readline())
        found = {(address, port) for address, port, _program in part_listeners()}
        part.communicate("")
    assert ("127.0.0.1", port) in found


def test_lock_lines_are_read_whatever_their_spelling() -> None:
    assert parse_lock("# x\nA_b.C==1.0\ntorch==2.13.0+cpu # y\n") == {
        "a-b-c": "1.0",
        "torch": "2.13.0+cpu",
    }


@pytest.mark.parametrize(
    ("installed", "status"),
    [
        ({"ray": "2.60.0", "rich": "15.0.0"}, "ok"),
        ({"ray": "2.60.0", "rich": "14.0.0"}, "warn"),
        ({"ray": "2.59.0", "rich": "15.0.0"}, "fail"),
        ({"rich": "15.0.0"}, "fail"),
        ({"ray": "2.60.0"}, "ok"),
    ],
)
def test_packages_against_the_lock(installed: dict[str, str], status: str) -> None:
    pins = {"ray": "2.60.0", "rich": "15.0.0"}
    assert check_lock(pins, versions(**installed)).status == status


@pytest.mark.parametrize(
    ("installed", "status"),
    [
        ({"torch": "2.13.0+cpu"}, "ok"),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, "fail"),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}, "ok"),
        ({"torch": "2.13.0", "torchvision": "0.28.0"}, "ok"),
        ({}, "fail"),
    ],
)
def test_torchvision(installed: dict[str, str], status: str) -> None:
    assert check_torchvision(versions(**installed)).status == status


def _unreachable() -> str:
    raise DatabaseError("The records are gone.", fix="Bring them back.")


def test_a_service_that_fails_is_told_with_its_advice() -> None:
    check = check_service("database", _unreachable)
    assert (check.status, check.found, check.advice) == (
        "fail",
        "The records are gone.",
        "Bring them back.",
    )


def test_a_service_that_up_would_start_is_no_failure() -> None:
    assert check_service("milvus", _unreachable, expected=False).status == "ok"


def test_damaged_model_files_are_named() -> None:
    check = check_model_files("packaged:m", lambda _source: ["weights has another checksum"])
    assert check.status == "fail"
    assert "weights" in check.found


def test_an_unknown_packaged_model_fails_its_check() -> None:
    def damage(source: str) -> list[str]:
        raise ModelSourceError(f"{source} is no packaged model.")

    assert check_model_files("packaged:m", damage).status == "fail"


ALL = dict.fromkeys(("namespaces", "user", "files", "calls", "limits"), "in force")


@pytest.mark.parametrize(
    ("lacking", "required", "status"),
    [
        ({}, True, "ok"),
        ({"namespaces": "Operation not permitted"}, True, "ok"),
        ({"user": "root"}, True, "ok"),
        ({"files": "Function not implemented"}, False, "warn"),
        ({"files": "Function not implemented"}, True, "fail"),
        ({"namespaces": "no", "calls": "no"}, True, "fail"),
    ],
)
def test_the_sandbox_of_parsers(lacking: dict[str, str], required: bool, status: str) -> None:
    found = check_sandbox(Layers(**{**ALL, **lacking}), required=required)
    assert found.status == status
    assert all(f"{name}: {said}" in found.found for name, said in lacking.items())


def test_a_machine_without_any_layer_is_told_of() -> None:
    assert check_sandbox(None, required=False).status == "warn"
    assert check_sandbox(None, required=True).status == "fail"


def test_the_probe_says_what_this_machine_has() -> None:
    layers = probe_layers()
    assert layers is not None
    assert layers.limits == "in force"
