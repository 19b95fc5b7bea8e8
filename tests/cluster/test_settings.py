"""Settings come from several sources, and every problem is told at once."""

import os
from pathlib import Path

import pytest

from cluster.errors import SettingsError
from cluster.settings import load_settings, resolve_settings


def test_the_environment_is_stronger_than_the_file(tmp_path: Path) -> None:
    config = tmp_path / "everloop.yaml"
    config.write_text("http:\n  port: 8001\n  host: 127.0.0.2\n")
    environment = {"EVERLOOP_CONFIG": str(config), "EVERLOOP_HTTP__PORT": "8002"}
    settings, sources = resolve_settings(environ=environment)
    assert (settings.http.port, settings.http.host) == (8002, "127.0.0.2")
    assert sources["http.port"] == "environment"
    assert sources["http.host"] == str(config)


def test_arguments_are_strongest() -> None:
    settings, sources = resolve_settings(
        {"http": {"port": 8003}}, environ={"EVERLOOP_HTTP__PORT": "8002"}
    )
    assert settings.http.port == 8003
    assert sources["http.port"] == "argument"


def test_lists_are_json_in_the_environment() -> None:
    settings, _ = resolve_settings(environ={"EVERLOOP_MODELS": '[{"id": "a"}, {"id": "b"}]'})
    assert [model.id for model in settings.models] == ["a", "b"]


def test_a_list_that_is_not_json_is_refused() -> None:
    with pytest.raises(SettingsError, match="does not parse") as caught:
        resolve_settings(environ={"EVERLOOP_MODELS": "smollm2"})
    assert "JSON" in caught.value.fix


def test_every_problem_is_told_at_once() -> None:
    environment = {
        "EVERLOOP_HTTP__PORT": "0",
        "EVERLOOP_RETRIEVAL__MODE": "magic",
        "EVERLOOP_RETRIEVL__LIMIT": "3",
        "EVERLOOP_HTTP__PROT": "8000",
    }
    with pytest.raises(SettingsError) as caught:
        resolve_settings(environ=environment)
    for word in ("http.port", "magic", "EVERLOOP_RETRIEVL__LIMIT", "prot", "(from environment)"):
        assert word in caught.value.message


def test_resolving_leaves_the_process_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_HTTP__PORT", "8009")
    before = dict(os.environ)
    settings, _ = resolve_settings(environ={})
    assert settings.http.port == 8000
    assert dict(os.environ) == before


def test_an_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match="no profile") as caught:
        resolve_settings(environ={"EVERLOOP_PROFILE": "cloud"})
    assert "gpu, local" in caught.value.fix


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", None])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "everloop.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match="EVERLOOP_CONFIG"):
        resolve_settings(environ={"EVERLOOP_CONFIG": str(path)})


@pytest.mark.parametrize("profile", ["local", "gpu"])
def test_every_profile_is_valid(profile: str) -> None:
    settings, _ = resolve_settings(environ={"EVERLOOP_PROFILE": profile})
    assert settings.profile == profile


def test_two_models_of_one_id_are_refused() -> None:
    with pytest.raises(SettingsError, match="same id twice"):
        load_settings({"models": [{"id": "a"}, {"id": "a"}]})


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"remote_code": "another/model"}, "it must name the model's source"),
        ({"engine": {"trust_remote_code": True}}, "name the source in remote_code"),
        ({"engine": {"load_format": "pt"}}, "engine.load_format is 'pt'; allowed: safetensors"),
    ],
)
def test_a_model_runs_no_code_unless_it_is_named(model: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        resolve_settings({"models": [{"id": "m", "source": "someone/model", **model}]}, {})
    resolve_settings(
        {"models": [{"id": "m", "source": "someone/model", "remote_code": "someone/model"}]}, {}
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "a.example"])  # noqa: S104
def test_without_keys_it_listens_to_this_machine_only(host: str) -> None:
    with pytest.raises(SettingsError, match=f"access.keys is off and http.host is '{host}'"):
        load_settings({"access": {"keys": "off"}, "http": {"host": host}})
    assert load_settings({"http": {"host": host}}).http.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_this_machine_keys_may_be_off(host: str) -> None:
    settings = load_settings({"access": {"keys": "off"}, "http": {"host": host}})
    assert settings.access.keys == "off"


@pytest.mark.parametrize(
    ("fallback", "said"),
    [({"tiny": "large"}, "names 'large'"), ({"tiny": "tiny"}, "names 'tiny' for itself")],
)
def test_a_smaller_model_is_one_that_is_served(fallback: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings({"models": [{"id": "tiny"}], "limits": {"fallback_model": fallback}})


def test_a_judge_of_facts_that_is_no_model_is_refused_with_those_there_are() -> None:
    models = [{"id": "a"}, {"id": "b"}]
    with pytest.raises(SettingsError, match=r"fact_check\.judge is 'oracle'; models has: a, b"):
        load_settings({"grounding": {"fact_check": {"judge": "oracle"}}, "models": models})
    served = {"grounding": {"fact_check": {"judge": "b"}}, "models": models}
    assert load_settings(served).grounding.fact_check.judge == "b"


def test_a_step_that_the_fact_check_does_not_know_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"flag.*drop.*regenerate"):
        load_settings({"grounding": {"fact_check": {"contradicted": "hide"}}})
