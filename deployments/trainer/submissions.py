"""Processes that run the work, as Ray jobs of this cluster. Blocking: call it in a thread."""

import logging
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import LaunchError
from cluster.handed_environment import hand_over
from cluster.launch.processes import CLUSTER_ID
from training.queue.ledger import Work

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["RayJobs"]

_log = logging.getLogger(__name__)
_MODULES: Final = {"job": "training.job", "gate": "training.queue.gate_job"}
_PASSED_ON: Final = "EVERLOOP_"
_LOG_TAIL: Final = 1_500


class RayJobs:
    """`ray job submit`, from inside the cluster."""

    def __init__(self, folder: Path) -> None:
        """`folder` is one that every machine of the cluster has; secrets go through it."""
        self._folder = folder
        self._known: JobSubmissionClient | None = None
        self._said = ""

    def start(self, work: Work) -> None:
        """Start the process of a claimed row. Starting it twice is starting it once."""
        command = [
            sys.executable,
            *("-m", _MODULES[work.kind]),
            *("--queued", work.id),
            *("--attempt", str(work.attempts)),
        ]
        passed = {k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON)}
        variables = hand_over(self._folder, passed)
        if CLUSTER_ID in passed:  # `down` finds our processes by it, in what they began with
            variables[CLUSTER_ID] = passed[CLUSTER_ID]
        try:
            self._client.submit_job(
                entrypoint=shlex.join(command),
                submission_id=work.submission,
                runtime_env={"env_vars": variables},
                metadata={"everloop": work.id},
            )
        except Exception as error:
            if self.ended(work) is False:
                return
            self._known = None
            raise LaunchError(f"The cluster did not take the job: {error}") from error

    def ended(self, work: Work) -> bool | None:
        """Whether its process has ended; None where the cluster does not know of it."""
        try:
            status = self._client.get_job_status(str(work.submission))
        except Exception as error:  # noqa: BLE001 - whatever it was: the lease decides
            self._unanswered("whether it has ended is not known", work, error)
            return None
        return bool(status.is_terminal())

    def stop(self, work: Work) -> None:
        """Stop its process, if there is one."""
        try:
            self._client.stop_job(str(work.submission))
        except Exception as error:  # noqa: BLE001 - it may be gone; the row says what counts
            self._unanswered("it could not be stopped", work, error)

    def last_words(self, work: Work) -> str:
        """The end of its log, or nothing."""
        try:
            log: Any = self._client.get_job_logs(str(work.submission))
        except Exception as error:  # noqa: BLE001 - a log is a help, no more
            self._unanswered("its log could not be read", work, error)
            return ""
        return str(log)[-_LOG_TAIL:].strip()

    def _unanswered(self, what: str, work: Work, error: Exception) -> None:
        """Say why the cluster did not answer, once where it is asked again and again."""
        self._known = None  # it may have moved
        said = f"Ray job {work.submission}: {what}: {type(error).__name__}: {error}"
        if said != self._said:
            _log.warning("%s", said)
        self._said = said

    @property
    def _client(self) -> "JobSubmissionClient":
        if self._known is None:
            import ray
            from ray.dashboard.utils import get_address_for_submission_client
            from ray.job_submission import JobSubmissionClient

            self._known = JobSubmissionClient(
                get_address_for_submission_client(ray.get_runtime_context().gcs_address)
            )
        return self._known
