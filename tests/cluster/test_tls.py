"""The front over TLS: who has the authority gets an answer, who has not is refused."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvicorn

from cluster.client import connected
from cluster.doctor.encryption import check_certificate, check_front
from cluster.errors import SettingsError, UnreachableError
from cluster.key_file import KeyFile, write_key_file
from cluster.launch.probe import is_alive, is_ready
from cluster.launch.status import lost_traces
from cluster.settings import Settings, load_settings
from cluster.tls import node_environment, serve_options, trust
from deployments.evaluation.judges.endpoint import Endpoint, EndpointCaller
from deployments.evaluation.runs.callers import HttpModels
from tests.fixtures.authority import tls_files
from tests.fixtures.system import free_port

KEY = "sk-of-this-installation"
START_S = 20.0
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Front:
    """A front over TLS, and settings whose clients trust its authority."""

    settings: Settings
    environment: dict[str, str]
    keys: list[str]
    """What each request came with."""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("tls")
    port = free_port()
    environment = {
        "EVERLOOP_DATA_DIR": str(folder / "data"),
        "EVERLOOP_HTTP__PORT": str(port),
        **{
            f"EVERLOOP_TLS__{name.upper()}": path
            for name, path in tls_files(folder, "127.0.0.1").items()
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = load_settings()
    write_key_file(settings.data_dir, KeyFile(settings.base_url, KEY))
    keys: list[str] = []

    async def answer(scope: dict[str, Any], _receive: object, send: Send) -> None:
        if scope["type"] != "http":
            return
        keys.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        body, kind = {
            "/metrics": (b"ray_everloop_gateway_traces_dropped 4.0\n", b"text/plain"),
        }.get(scope["path"], (b'{"object": "list", "data": []}', b"application/json"))
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    server = uvicorn.Server(
        uvicorn.Config(
            answer,
            host="127.0.0.1",
            port=port,
            log_level="critical",
            lifespan="off",
            **serve_options(settings.tls),  # type: ignore[arg-type]
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not server.started:
        assert time.monotonic() < deadline
        assert thread.is_alive()
        time.sleep(0.01)
    yield Front(settings, environment, keys)
    server.should_exit = True
    thread.join(START_S)


@pytest.fixture
def trusting(front: Front, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in front.environment.items():
        monkeypatch.setenv(name, value)
    return front.settings


@pytest.fixture
def distrusting(trusting: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("EVERLOOP_TLS__AUTHORITY")
    return load_settings()


def test_the_base_url_is_encrypted_and_names_the_certificates_host(front: Front) -> None:
    assert front.settings.base_url == f"https://127.0.0.1:{front.settings.http.port}/v1"
    tls = {"certificate": "c.pem", "key": "k.pem", "name": "everloop.example"}
    named = load_settings({"tls": tls, "http": {"host": "0.0.0.0"}})  # noqa: S104
    assert named.base_url == "https://everloop.example:8000/v1"
    assert named.tls.certificate == Path("c.pem").absolute()


def test_our_clients_trust_the_authority(trusting: Settings, front: Front) -> None:
    assert is_ready(trusting)
    assert lost_traces(trusting) == 4
    with connected(None) as client:
        assert client.models.list().data == []
    assert front.keys[-1] == f"Bearer {KEY}"


def test_our_clients_refuse_whom_they_do_not_know(distrusting: Settings, front: Front) -> None:
    before = len(front.keys)
    assert not is_ready(distrusting)
    assert lost_traces(distrusting) == 0
    with pytest.raises(UnreachableError), connected(None) as client:
        client.with_options(max_retries=0).models.list()
    assert len(front.keys) == before


async def test_the_evaluator_trusts_the_authority(trusting: Settings) -> None:
    for verify, answers in ((trust(trusting.tls.authority), True), (True, False)):
        models = HttpModels(
            trusting.base_url, concurrency=1, patience_s=0, request_timeout_s=5, verify=verify
        )
        try:
            if answers:
                assert (await models.get("/models")).body["object"] == "list"
            else:
                with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
                    await models.get("/models")
        finally:
            await models.close()


async def test_a_judge_outside_gains_nothing_by_our_authority(trusting: Settings) -> None:
    ours = EndpointCaller(Endpoint(base_url=trusting.base_url, background=True, retries=0))
    outside = EndpointCaller(Endpoint(base_url=trusting.base_url, retries=0))
    try:
        assert (await ours.chat({"messages": []}))["object"] == "list"
        with pytest.raises(UnreachableError):
            await outside.chat({"messages": []})
    finally:
        await ours.close()
        await outside.close()


def test_the_probe_of_an_image_ends_with_its_answer(trusting: Settings) -> None:
    assert is_alive(trusting)
    probe = [sys.executable, "-m", "cluster.launch.probe"]
    assert subprocess.run(probe, check=False).returncode == 0
    away = os.environ | {"EVERLOOP_HTTP__PORT": str(free_port())}
    assert subprocess.run(probe, env=away, check=False).returncode == 1


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ({"certificate": "c.pem"}, "certificate and key are set together"),
        ({"key": "k.pem"}, "certificate and key are set together"),
        ({"nodes": True}, "nodes needs certificate, key and authority"),
        ({"nodes": True, "certificate": "c.pem", "key": "k.pem"}, "nodes needs"),
        ({"name": "https://x"}, "tls.name"),
    ],
)
def test_what_does_not_go_together_is_refused(tls: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load_settings({"tls": tls})


def test_ray_is_told_of_certificates_only_where_nodes_use_them(tmp_path: Path) -> None:
    files = tls_files(tmp_path, "127.0.0.1")
    assert node_environment(load_settings({"tls": files}).tls) == {}
    assert node_environment(load_settings({"tls": files | {"nodes": True}}).tls) == {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": files["certificate"],
        "RAY_TLS_SERVER_KEY": files["key"],
        "RAY_TLS_CA_CERT": files["authority"],
    }


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=str(path)):
        trust(path)


def certificate(folder: Path, *names: str, **options: Any) -> Settings:
    return load_settings({"tls": tls_files(folder, *names, **options)})


def test_a_good_certificate_is_ok(tmp_path: Path) -> None:
    check = check_certificate(certificate(tmp_path, "127.0.0.1"))
    assert check.status == "ok"
    assert "more days" in check.found


def test_without_tls_there_is_nothing_to_check() -> None:
    assert check_certificate(load_settings()).status == "ok"


def test_a_certificate_that_ends_soon_is_told(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(days=3)
    assert check_certificate(certificate(tmp_path, "127.0.0.1", not_after=soon)).status == "warn"


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (("127.0.0.1",), {"not_after": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
        (("everloop.example",), {}, "mismatch"),
    ],
)
def test_a_certificate_that_a_client_would_refuse_fails(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, Any], said: str
) -> None:
    check = check_certificate(certificate(tmp_path, *names, **options))
    assert check.status == "fail"
    assert said in check.found
    assert check.advice


def test_a_certificate_of_another_authority_fails(tmp_path: Path) -> None:
    files = tls_files(tmp_path, "127.0.0.1")
    trustme.CA().cert_pem.write_to_path(files["authority"])
    assert check_certificate(load_settings({"tls": files})).status == "fail"


def test_the_key_of_another_certificate_fails(tmp_path: Path) -> None:
    ours, theirs = tls_files(tmp_path / "a", "127.0.0.1"), tls_files(tmp_path / "b", "127.0.0.1")
    check = check_certificate(load_settings({"tls": ours | {"key": theirs["key"]}}))
    assert check.status == "fail"
    assert "key values mismatch" in check.found


@pytest.mark.parametrize("name", ["certificate", "key", "authority"])
def test_a_file_that_is_not_there_fails(tmp_path: Path, name: str) -> None:
    files = tls_files(tmp_path, "127.0.0.1")
    Path(files[name]).unlink()
    check = check_certificate(load_settings({"tls": files}))
    assert check.status == "fail"
    assert files[name] in check.found


@pytest.mark.parametrize(("mode", "who"), [(0o640, "its group"), (0o644, "everybody")])
def test_a_key_that_others_can_read_fails(tmp_path: Path, mode: int, who: str) -> None:
    files = tls_files(tmp_path, "127.0.0.1")
    Path(files["key"]).chmod(mode)
    check = check_certificate(load_settings({"tls": files}))
    assert check.status == "fail"
    assert who in check.found


def test_a_front_in_the_clear_beyond_this_machine_is_told(tmp_path: Path) -> None:
    public = {"http": {"host": "0.0.0.0"}}  # noqa: S104 - the very thing that is looked for
    assert check_front(load_settings(public)).status == "warn"
    assert check_front(load_settings(public | {"tls": tls_files(tmp_path, "a.b")})).status == "ok"
    assert check_front(load_settings()).status == "ok"
