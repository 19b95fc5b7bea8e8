"""Who is compared in a gate run: an adapter with an alias's target, or an arm with its control."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from cluster.arms import arm_reference, read_arm_reference
from cluster.records import Experiment, GateRun
from training.errors import GateError
from training.gate.report import Contender

__all__ = ["asked_with", "contenders"]


def asked_with(
    run: GateRun, serving: Mapping[str, Any], file_search: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What goes with each question, so that both are asked as clients of the alias would be.

    `serving` is the prompt and the retrieval that go with the alias. An arm and its control bring
    their own.
    """
    own = read_arm_reference(run.adapter_id) is not None
    more: dict[str, Any] = {}
    if file_search is not None:
        chosen = {} if own else dict(serving.get("retrieval") or {})
        threshold = chosen.pop("score_threshold", None)
        if threshold is not None:
            chosen["ranking_options"] = {"score_threshold": threshold}
        known = {name: value for name, value in chosen.items() if value is not None}
        more["file_search"] = {**known, **file_search}
    if not own and (prompt := serving.get("prompt")) is not None:
        name, _, version = str(prompt).partition("@")
        more["prompt"] = {"id": name, "version": version}
    return more


def contenders(
    session: Session, run: GateRun, target: str, version: int
) -> tuple[Contender, Contender]:
    """Candidate and champion; the alias points at `target` since its move `version`.

    An arm is compared with its experiment's control, which is what the alias was when it started.
    Raises GateError where the alias has moved since, or where there is no such arm.
    """
    reference = read_arm_reference(run.adapter_id)
    if reference is None:
        return Contender(model=run.adapter_id), Contender(model=target)
    experiment_id, name = reference
    row = session.get(Experiment, experiment_id)
    arms = [] if row is None else row.arms
    models = {arm["name"]: arm["model"] for arm in arms}
    if row is None or name not in models:
        raise GateError(f"There is no arm {run.adapter_id} any more.")
    if row.state.get("alias_version") != version:
        raise GateError(
            f"The alias {run.alias} has moved since the experiment {row.id} began.",
            fix="Start a new experiment: its control is what the alias is now.",
        )
    control = arms[0]["name"]
    return (
        Contender(model=run.adapter_id, title=f"{name} of {row.id}", weights=models[name]),
        Contender(
            model=arm_reference(row.id, control),
            title=f"{run.alias} as it is",
            weights=models[control],
        ),
    )
