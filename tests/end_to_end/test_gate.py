"""The gate against the running application: what is served is what the model's folder holds."""

import os
from pathlib import Path

import pytest

from cluster.models import ensure_model
from cluster.settings import Settings
from tests.fixtures.system import System
from tests.training.gate.serving import labels
from training.gate import Contender, GateSettings, HttpService, run_gate
from training.gate.items import held_out_set
from training.gate.parity import measure_parity
from training.gate.probes import FIXED
from training.tokens import ExampleTokenizer

pytestmark = pytest.mark.end_to_end

MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def folder() -> Path:
    cache = os.environ.get("EVERLOOP_CACHE_DIR")
    place = Path(cache) if cache else Settings().cache_dir
    return ensure_model(f"packaged:{MODEL}", place)


def test_served_weights_and_template_are_those_of_the_folder(system: System, folder: Path) -> None:
    found = measure_parity(
        HttpService(system.base_url, system.key),
        MODEL,
        held_out_set(labels(2, 2)).items,
        ExampleTokenizer.load(folder),
        folder,
        None,
    )
    assert (found.templates_checked, found.templates_differ) == (len(FIXED) + 2, 0)
    assert 0 < found.served < 0.01


def test_other_weights_than_those_served_are_found_out(
    system: System, folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.model.layers[7].mlp.down_proj.weight.data *= 1.5
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    found = measure_parity(
        HttpService(system.base_url, system.key),
        MODEL,
        (),
        ExampleTokenizer.load(folder),
        tmp_path,
        None,
    )
    assert found.served > 0.05


def test_a_model_against_itself_is_inconclusive(system: System, folder: Path) -> None:
    side = Contender(model=MODEL)
    settings = GateSettings(metric="log_likelihood", parity_items=1, max_answer_tokens=4)
    report = run_gate(
        side,
        side,
        labels(6, 2),
        settings,
        HttpService(system.base_url, system.key),
        folder,
        None,
        lambda _sentence: None,
    )
    assert [check.name for check in report.verdict.checks if check.result == "unclear"] == [
        "comparison"
    ]
    assert report.verdict.outcome != "promote"
    found = report.evidence.comparison
    assert found is not None
    assert found.candidate == pytest.approx(found.champion, abs=1e-3)
    assert found.candidate < -1
