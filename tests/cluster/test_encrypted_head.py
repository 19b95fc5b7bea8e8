"""`everloop up --wait` with Ray's own connections and the front over TLS, by real parts.

The application is a tiny one: it is the way to it that counts here.
"""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.launch.probe import is_ready
from cluster.launch.processes import cluster_id, marked_processes
from cluster.launch.ray_head import stop_ray_head
from cluster.settings import Settings, load_settings
from tests.fixtures.authority import tls_files
from tests.fixtures.ray_cluster import RAY_DRIVER
from tests.fixtures.system import free_port

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
# The steps that start what is not asked for here are left out; the others are the product's.
UP = """
import cluster.launch.application, cluster.launch.up as steps
from cluster.cli.app import app

cluster.launch.application._BUILDER = "tests.fakes.tiny_application:build_app"
for name in ("_models", "_milvus"):
    setattr(steps, name, lambda settings, report: "left out")
app(["up", "--wait"])
"""
JOIN = """
from cluster.launch.ray_head import connect
from cluster.settings import load_settings

connect(load_settings())
import ray

print(ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote(), timeout=60))
"""
STOP_S = 60


@dataclass(frozen=True)
class Encrypted:
    """What runs, and how to reach it."""

    settings: Settings
    environment: dict[str, str]
    process: "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    folder = tmp_path_factory.mktemp("encrypted")
    tree = {
        "data_dir": str(folder / "data"),
        "tls": tls_files(folder, "127.0.0.1", "localhost") | {"nodes": True},
        "http": {"port": free_port()},
        "ray": {
            "port": free_port(),
            "dashboard_port": free_port(),
            "metrics_port": free_port(),
            "num_cpus": 2,
            "object_store_mib": 80,
        },
    }
    config = folder / "everloop.yaml"
    config.write_text(json.dumps(tree))  # JSON is YAML
    settings = load_settings(tree)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in RAY_DRIVER},
        "EVERLOOP_CONFIG": str(config),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", UP],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "until Ctrl-C or SIGTERM" in line:
                break
        else:
            pytest.fail("".join(said))
        yield Encrypted(settings, environment, process)
    finally:
        process.kill()
        process.communicate()
        stop_ray_head(settings)


def join(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", JOIN],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def gcs_answers(settings: Settings, context: ssl.SSLContext) -> bool:
    """Whether the head's first port takes us: its verdict on our certificate is its first word."""
    try:
        with (
            socket.create_connection(("127.0.0.1", settings.ray.port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        ):
            return len(encrypted.recv(1)) > 0
    except ssl.SSLError:
        return False


def test_who_has_a_certificate_of_the_authority_joins(running: Encrypted) -> None:
    done = join(running.environment)
    assert done.stdout.strip().endswith("42"), done.stderr[-2000:]


def test_who_has_none_or_another_authoritys_is_refused(running: Encrypted, tmp_path: Path) -> None:
    tls = running.settings.tls
    assert tls.certificate is not None
    theirs = tls_files(tmp_path, "127.0.0.1")
    for certificate, key, taken in (
        (tls.certificate, tls.key, True),
        (theirs["certificate"], theirs["key"], False),
        (None, None, False),
    ):
        context = ssl.create_default_context(cafile=tls.authority)
        context.set_alpn_protocols(["h2"])
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        assert gcs_answers(running.settings, context) is taken


def test_the_front_is_serves_and_encrypted(running: Encrypted) -> None:
    assert is_ready(running.settings)
    without = running.settings.tls.model_copy(update={"authority": None})
    assert not is_ready(running.settings.model_copy(update={"tls": without}))


def test_sigterm_stops_everything_in_order(running: Encrypted) -> None:
    running.process.send_signal(signal.SIGTERM)
    said, _ = running.process.communicate(timeout=STOP_S)
    assert running.process.returncode == 0, said
    assert "Stopped" in said
    assert marked_processes(cluster_id(running.settings.data_dir)) == []
