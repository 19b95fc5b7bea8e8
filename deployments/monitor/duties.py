"""Every duty of the Monitor."""

from deployments.monitor.duty import Duty, MonitorParts

__all__ = ["make_duties"]


def make_duties(parts: MonitorParts) -> list[Duty]:
    """Make them over `parts`."""
    from deployments.alerts.duty import AlertDuty
    from deployments.deletion.documents import DocumentDuty
    from deployments.deletion.projects import ProjectDuty
    from deployments.drift.duty import DriftDuty
    from deployments.experiments.duty import ExperimentDuty
    from deployments.tracing.retention import RetentionDuty

    return [
        ExperimentDuty(parts),
        DriftDuty(parts),
        AlertDuty(parts),
        RetentionDuty(parts),
        DocumentDuty(parts),
        ProjectDuty(parts),
    ]
