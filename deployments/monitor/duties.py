"""Every duty of the Monitor."""

from deployments.monitor.duty import Duty, MonitorParts

__all__ = ["make_duties"]


def make_duties(parts: MonitorParts) -> list[Duty]:
    """Make them over `parts`."""
    from deployments.alerts.duty import AlertDuty
    from deployments.drift.duty import DriftDuty
    from deployments.experiments.duty import ExperimentDuty
    from deployments.idempotency.retention import KeyRetentionDuty
    from deployments.tracing.retention import RetentionDuty

    return [
        ExperimentDuty(parts),
        DriftDuty(parts),
        AlertDuty(parts),
        RetentionDuty(parts),
        KeyRetentionDuty(parts),
    ]
