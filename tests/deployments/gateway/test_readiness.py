"""Whether a call waits for a replica or is told that none will come."""

import pytest

from deployments.gateway.readiness import _is_starting


@pytest.mark.parametrize(
    ("status", "replicas", "starting"),
    [
        ("UPDATING", {"STARTING": 1}, True),
        ("UPDATING", {}, True),
        ("UNHEALTHY", {"STARTING": 1}, True),
        ("UNHEALTHY", {}, False),
        ("DEPLOY_FAILED", {"STARTING": 1}, False),
    ],
)
def test_one_that_died_is_replaced_and_one_that_cannot_start_is_not_waited_for(
    status: str, replicas: dict[str, int], starting: bool
) -> None:
    from ray.serve.schema import DeploymentStatusOverview

    state = DeploymentStatusOverview(
        status=status,
        status_trigger="UNSPECIFIED",
        replica_states=replicas,
        message="",
    )
    assert _is_starting(state) is starting
