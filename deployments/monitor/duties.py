"""Every duty of the Monitor."""

from functools import partial

from deployments.monitor.duty import Duty, MonitorParts

__all__ = ["make_duties"]


def make_duties(parts: MonitorParts) -> list[Duty]:
    """Make them over `parts`."""
    from cluster.backup.deletions import note_deletion
    from deployments.alerts.duty import AlertDuty
    from deployments.deletion.documents import DocumentDuty
    from deployments.deletion.projects import ProjectDuty
    from deployments.drift.duty import DriftDuty
    from deployments.experiments.duty import ExperimentDuty
    from deployments.idempotency.retention import KeyRetentionDuty
    from deployments.monitor.clock_jumps import ClockDuty
    from deployments.monitor.silent_actors import SilentActorDuty
    from deployments.tracing.retention import RetentionDuty

    note = partial(note_deletion, parts.settings)
    return [
        ExperimentDuty(parts),
        DriftDuty(parts),
        AlertDuty(parts),
        RetentionDuty(parts),
        KeyRetentionDuty(parts),
        DocumentDuty(parts, note),
        ProjectDuty(parts, note),
        SilentActorDuty(),
        ClockDuty(),
    ]
