"""Who is compared in a gate run: an adapter with an alias's target, or an arm with its control."""

from sqlalchemy.orm import Session

from cluster.arms import arm_reference, read_arm_reference
from cluster.records import Experiment, GateRun
from training.errors import GateError
from training.gate.report import Contender

__all__ = ["contenders"]


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
