"""What runs where."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from cluster.errors import EverloopError
from cluster.launch.probe import is_ready
from cluster.launch.processes import cluster_id, marked_processes
from cluster.launch.run_record import read_record
from cluster.masking import without_password
from cluster.settings import Settings
from cluster.tls import trust

__all__ = ["Status", "lost_traces", "read_status"]

_LOST: Final = "everloop_gateway_traces_dropped"
"""Ray puts `ray_` before it."""
_METRICS_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True)
class Status:
    """A picture of one moment."""

    ready: bool
    """/readyz answers 200."""
    base_url: str
    dashboard: str | None
    processes: int
    """Processes of this Everloop on this machine."""
    milvus: str
    database: str
    storage: str
    deployments: list[dict[str, Any]] = field(default_factory=list)
    stores: list[dict[str, Any]] = field(default_factory=list)
    traces_lost: int = 0
    """By the gateway's replicas that run; each counts since it started."""
    problem: str | None = None
    """Why something above is missing."""

    @property
    def running(self) -> bool:
        """Whether any part of it runs."""
        return self.ready or self.processes > 0

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"running": self.running}


def read_status(settings: Settings) -> Status:
    """Ask each part; a part that does not answer is left out and named in `problem`."""
    local = settings.ray.address is None
    record = read_record(settings.data_dir) if local else None
    ready = is_ready(settings)
    deployments: list[dict[str, Any]] = []
    stores: list[dict[str, Any]] = []
    traces_lost = 0
    problem = None
    try:
        if not local or (record is not None and record.alive):
            deployments = _deployments(settings)
        if ready:
            stores = _stores(settings)
            traces_lost = lost_traces(settings)
    except EverloopError as error:
        problem = str(error)
    return Status(
        ready=ready,
        base_url=settings.base_url,
        dashboard=f"http://127.0.0.1:{record.dashboard_port}" if record else settings.ray.address,
        processes=len(marked_processes(cluster_id(settings.data_dir))),
        milvus=without_password(settings.milvus_uri),
        database=without_password(settings.database_url),
        storage=without_password(settings.storage_url),
        deployments=deployments,
        stores=stores,
        traces_lost=traces_lost,
        problem=problem,
    )


def _deployments(settings: Settings) -> list[dict[str, Any]]:
    from cluster.launch.application import deployment_states
    from cluster.launch.ray_head import connect

    connect(settings)
    return [asdict(state) for state in deployment_states()]


def _stores(settings: Settings) -> list[dict[str, Any]]:
    from cluster.client import openai_client, translated_errors

    with translated_errors(settings.base_url), openai_client(settings.base_url) as client:
        page = client.vector_stores.list(limit=100)
        return [
            {
                "id": store.id,
                "name": store.name,
                "files": store.file_counts.completed,
                "in_progress": store.file_counts.in_progress,
                "failed": store.file_counts.failed,
                "bytes": store.usage_bytes,
            }
            for store in page.data
        ]


def lost_traces(settings: Settings) -> int:
    """What `/metrics` counts over all replicas of the gateway; 0 where it does not answer."""
    import httpx
    from prometheus_client.parser import text_string_to_metric_families

    from cluster.client import key_for

    url = settings.base_url.removesuffix("/v1") + "/metrics"
    key = key_for(settings.base_url)
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        answer = httpx.get(
            url,
            timeout=_METRICS_TIMEOUT_S,
            trust_env=False,
            headers=headers,
            verify=trust(settings.tls.authority),
        )
    except httpx.HTTPError:
        return 0
    if answer.status_code != httpx.codes.OK:
        return 0
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name.endswith(_LOST)
        )
    )
