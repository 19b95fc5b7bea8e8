"""Push and pull through huggingface_hub, against a hub on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.model_hub import TOKEN, FakeHub, FakeRepo, running_fake_hub
from training.errors import ExportError, HubError
from training.export.hub import HubTarget, parse_target, pull, push
from training.export.lineage import Lineage, write_lineage

LINEAGE = Lineage(
    base="acme/tiny",
    adapter="banking",
    adapter_sha256="ab" * 32,
    method="dora",
    rank=8,
    dtype="bfloat16",
    licence="apache-2.0",
    metrics={"exact_match": 0.8312345678},
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    # The stand-in speaks Git LFS, not the chunked protocol of Hugging Face's own storage.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with running_fake_hub() as fake:
        yield fake


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 50)
    (folder / "deep" / "notes.txt").write_text("n")
    (folder / ".hidden").write_text("no")
    write_lineage(folder, LINEAGE)
    return folder


def test_what_is_pushed_is_pulled(hub: FakeHub, model: Path, tmp_path: Path) -> None:
    commit = push(model, f"{hub.url}/us/banking", token=TOKEN)
    repo = hub.repos["us/banking"]
    assert commit == f"{hub.url}/us/banking/commit/{repo.head}"
    assert len(repo.commits) == 2, "one commit beside the first"
    pull(f"{hub.url}/us/banking", tmp_path / "pulled", token=TOKEN)
    found = {
        path.relative_to(tmp_path / "pulled").as_posix(): path.read_bytes()
        for path in (tmp_path / "pulled").rglob("*")
        if path.is_file()
    }
    assert found.pop("README.md")
    assert found == {
        name: (model / name).read_bytes()
        for name in ("config.json", "model.safetensors", "deep/notes.txt", "everloop-export.json")
    }


def test_a_new_repository_is_private(hub: FakeHub, model: Path) -> None:
    push(model, f"{hub.url}/us/banking", token=TOKEN)
    push(model, f"{hub.url}/us/open", token=TOKEN, private=False)
    assert hub.repos["us/banking"].private
    assert not hub.repos["us/open"].private


def test_a_public_repository_gets_nothing_that_is_private(hub: FakeHub, model: Path) -> None:
    hub.repos["us/open"] = FakeRepo(private=False)
    with pytest.raises(HubError, match=r"is public.*--public"):
        push(model, f"{hub.url}/us/open", token=TOKEN)
    assert hub.repos["us/open"].files == {}


def test_the_card_says_what_the_model_is_made_of(hub: FakeHub, model: Path) -> None:
    push(model, f"{hub.url}/us/banking", token=TOKEN)
    card = hub.repos["us/banking"].files["README.md"].decode()
    for said in ("base_model: acme/tiny", "license: apache-2.0", "dora of rank 8", "ab" * 32):
        assert said in card
    assert "| exact_match | 0.831235 |" in card


def test_an_unknown_licence_is_said_and_not_guessed(hub: FakeHub, model: Path) -> None:
    text = json.loads((model / "everloop-export.json").read_text())
    text |= {"licence": None, "base": "packaged:tiny"}
    (model / "everloop-export.json").write_text(json.dumps(text))
    push(model, f"{hub.url}/us/banking", token=TOKEN)
    card = hub.repos["us/banking"].files["README.md"].decode()
    assert "license:" not in card
    assert "base_model:" not in card  # the hub takes ids of its own only
    assert "`packaged:tiny`" in card
    assert "not known" in card


def test_a_card_that_is_there_is_kept(hub: FakeHub, model: Path) -> None:
    (model / "README.md").write_text("mine")
    push(model, f"{hub.url}/us/banking", token=TOKEN)
    assert hub.repos["us/banking"].files["README.md"] == b"mine"


def test_a_single_file_is_pushed_with_a_card(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    (tmp_path / "other.txt").write_text("stays here")
    push(tmp_path / "m.gguf", f"{hub.url}/us/banking", token=TOKEN, lineage=LINEAGE)
    files = hub.repos["us/banking"].files
    assert files.keys() == {"m.gguf", "README.md"}
    assert b"library_name: gguf" in files["README.md"]


def test_no_hub_named_by_url_sees_the_token_of_the_default_one(
    hub: FakeHub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_another_hub")
    with pytest.raises(HubError, match=r"answered 401.*--token-env"):
        push(model, f"{hub.url}/us/banking")
    assert hub.tokens_seen == {None}


def test_who_may_not_write_there_is_told(hub: FakeHub, model: Path) -> None:
    with pytest.raises(HubError, match=r"answered 403: You don't have the rights.*may write"):
        push(model, f"{hub.url}/them/banking", token=TOKEN)


def test_a_missing_repository_leaves_no_folder(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"answered 404.*private repository looks missing"):
        pull(f"{hub.url}/us/nothing", tmp_path / "pulled", token=TOKEN)
    with pytest.raises(HubError, match="answered 401"):
        pull(f"{hub.url}/us/nothing", tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_revision_is_named(hub: FakeHub, model: Path, tmp_path: Path) -> None:
    push(model, f"{hub.url}/us/banking", token=TOKEN)
    with pytest.raises(HubError, match="no revision 'v9'"):
        pull(f"{hub.url}/us/banking", tmp_path / "pulled", revision="v9", token=TOKEN)
    head = hub.repos["us/banking"].head
    assert pull(f"{hub.url}/us/banking", tmp_path / "at", revision=head, token=TOKEN).is_dir()


def test_a_folder_that_is_there_is_not_pulled_over(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "pulled").mkdir()
    with pytest.raises(ExportError, match="is there already"):
        pull(f"{hub.url}/us/banking", tmp_path / "pulled")
    assert hub.tokens_seen == set(), "nobody was asked"


def test_no_network_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"cannot be reached.*HTTPS_PROXY"):
        push(model, "http://127.0.0.1:9/us/banking", token=TOKEN)
    with pytest.raises(HubError, match=r"cannot be reached.*HTTPS_PROXY"):
        pull("http://127.0.0.1:9/us/banking", tmp_path / "pulled")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("us/banking", HubTarget("us/banking")),
        ("https://huggingface.co/us/banking", HubTarget("us/banking")),
        (
            "https://hub.acme.example/us/banking/",
            HubTarget("us/banking", "https://hub.acme.example"),
        ),
        ("http://acme.example/hub/us/x", HubTarget("us/x", "http://acme.example/hub")),
    ],
)
def test_repositories_are_named_by_id_or_url(
    text: str, target: HubTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "banking",
        "us/bank ing",
        "https://huggingface.co/banking",
        "https://huggingface.co/us/banking/tree/main",
        "https://name:secret@hub.example/us/banking",
        "ftp://hub.example/us/banking",
    ],
)
def test_what_names_no_repository_is_refused(text: str) -> None:
    with pytest.raises(HubError, match=r"names no repository|not the URL"):
        parse_target(text)
