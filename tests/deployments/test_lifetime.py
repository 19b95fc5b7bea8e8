"""Every deployment has the time to end what it has begun."""

from pathlib import Path
from typing import Any

import pytest

from cluster.settings import ModelSettings, Settings
from deployments.lifetime import SPARE_S
from deployments.model.deployment import AdapterPlace, model_version
from deployments.model.engine_config import serve_options

PLACE = AdapterPlace("file:///store", {}, Path("/replicas"))


def built(name: str) -> Any:
    """A deployment of the application, as it is bound."""
    from deployments.embedder.deployment import build_embedder
    from deployments.evaluator.deployment import build_evaluator
    from deployments.gateway.deployment import build_gateway
    from deployments.ingestor.deployment import build_ingestor
    from deployments.monitor.deployment import build_monitor
    from deployments.trainer.deployment import build_trainer_deployment

    settings, folder = Settings(), Path("/model")
    embedder = build_embedder(settings.embedding, folder, folder)
    made = {
        "Embedder": embedder,
        "Ingestor": build_ingestor(settings, folder, embedder),
        "Evaluator": build_evaluator(settings, embedder, folder),
        "Trainer": build_trainer_deployment(settings, {}),
        "Monitor": build_monitor(settings, embedder, embedder, embedder, embedder, {}),
        "Gateway": build_gateway(
            settings,
            model_paths={},
            models={},
            **dict.fromkeys(
                ("embedder", "retriever", "ingestor", "evaluator", "trainer", "monitor"), embedder
            ),
        ),
    }
    return made[name]._bound_deployment._deployment_config


@pytest.mark.parametrize(
    ("name", "longest_call_s"),
    [
        ("Gateway", 300),
        ("Embedder", 120),
        ("Evaluator", 300),
        ("Ingestor", 30),
        ("Trainer", 5),
        ("Monitor", 5),
    ],
)
def test_a_replica_that_goes_may_end_its_longest_call(name: str, longest_call_s: float) -> None:
    config = built(name)
    assert config.graceful_shutdown_timeout_s == longest_call_s + SPARE_S
    assert config.health_check_timeout_s * 3 <= 30


@pytest.mark.parametrize("name", ["Gateway", "Embedder"])
def test_what_answers_users_is_replaced_before_it_stops(name: str) -> None:
    assert built(name).max_surge_percent == 100


def test_a_models_replicas_drain_for_as_long_as_a_request_may_take() -> None:
    options = serve_options(ModelSettings(id="m"), longest_call_s=77)
    assert options["graceful_shutdown_timeout_s"] == 77 + SPARE_S
    assert options["max_surge_percent"] == 0
    assert serve_options(ModelSettings(id="m", surge=True), 77)["max_surge_percent"] == 100


def test_an_update_that_leaves_a_model_as_it_is_restarts_no_replica(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    version = model_version(ModelSettings(id="m"), tmp_path, PLACE)
    scaled = ModelSettings(id="m", max_replicas=3, target_ongoing_requests=2, surge=True)
    assert model_version(scaled, tmp_path, PLACE) == version


@pytest.mark.parametrize(
    "change", [{"max_context_tokens": 512}, {"max_ongoing_requests": 4}, {"engine": {"seed": 1}}]
)
def test_other_settings_of_a_model_restart_its_replicas(
    change: dict[str, Any], tmp_path: Path
) -> None:
    version = model_version(ModelSettings(id="m"), tmp_path, PLACE)
    assert model_version(ModelSettings(id="m", **change), tmp_path, PLACE) != version


def test_other_weights_in_its_folder_restart_its_replicas(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"old")
    version = model_version(ModelSettings(id="m"), tmp_path, PLACE)
    weights.write_bytes(b"newer")
    assert model_version(ModelSettings(id="m"), tmp_path, PLACE) != version
