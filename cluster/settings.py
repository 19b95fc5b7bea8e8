"""The one typed settings tree, and where each value came from.

Order, strongest first: arguments, `EVERLOOP_…` environment (`__` between levels, for example
`EVERLOOP_HTTP__PORT=8001`), the file that `EVERLOOP_CONFIG` names, the profile that
`EVERLOOP_PROFILE` names (`local` or `gpu`), the defaults below.
"""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from cluster.errors import SettingsError
from cluster.problems import key_of, problem_of
from cluster.sections.answering import (
    FactCheckSettings,
    GroundingSettings,
    IngestionSettings,
    RetrievalSettings,
)
from cluster.sections.durability import IdempotencySettings
from cluster.sections.encryption import TlsSettings
from cluster.sections.guards import GuardsSettings
from cluster.sections.improvement import TrainingQueueSettings
from cluster.sections.judgment import EvaluationSettings, JudgeBar, OutsideModelSettings
from cluster.sections.learning import (
    AlertSettings,
    DriftSettings,
    ExperimentSettings,
    FeedbackSettings,
    MonitorSettings,
)
from cluster.sections.limits import Bounds, LimitsSettings
from cluster.sections.serving import EmbeddingSettings, HttpSettings, ModelSettings, RaySettings
from cluster.sections.stores import DatabaseSettings, MilvusSettings, StorageSettings
from cluster.sections.tracing import TracingSettings
from cluster.sections.trust import AccessSettings
from cluster.yaml_file import read_mapping

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "AccessSettings",
    "AlertSettings",
    "Bounds",
    "DatabaseSettings",
    "DriftSettings",
    "EmbeddingSettings",
    "EvaluationSettings",
    "ExperimentSettings",
    "FactCheckSettings",
    "FeedbackSettings",
    "GroundingSettings",
    "GuardsSettings",
    "HttpSettings",
    "IdempotencySettings",
    "IngestionSettings",
    "JudgeBar",
    "LimitsSettings",
    "MilvusSettings",
    "ModelSettings",
    "OutsideModelSettings",
    "RaySettings",
    "RetrievalSettings",
    "Settings",
    "SettingsSource",
    "StorageSettings",
    "TlsSettings",
    "TracingSettings",
    "TrainingQueueSettings",
    "is_loopback",
    "load_settings",
    "resolve_settings",
]

PROFILES: Final = Path(__file__).parent / "profiles"
ENV_PREFIX: Final = "EVERLOOP_"
ENV_DELIMITER: Final = "__"
_META_VARIABLES: Final = frozenset(
    {
        "EVERLOOP_PROFILE",
        "EVERLOOP_CONFIG",
        "EVERLOOP_API_KEY",
        "EVERLOOP_CLUSTER_ID",
        "EVERLOOP_HANDED_ENVIRONMENT",
        "EVERLOOP_SECRET",
    }
)


class Settings(BaseSettings):
    """Everything that can be set. See the module's docstring for the order of sources."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        nested_model_default_partial_update=True,
        use_attribute_docstrings=True,
    )

    profile: str = "local"
    """Profile that gave the defaults: `local` or `gpu`."""
    data_dir: Path = Path("~/.everloop")
    """Folder of everything that is not elsewhere: records, bytes, vectors, logs."""
    cache_dir: Path = Path("~/.cache/everloop")
    """Folder of converted models; shared between data folders."""
    models: tuple[ModelSettings, ...] = (ModelSettings(id="smollm2-135m-instruct"),)
    """Chat models; the first is the default."""
    default_alias: str = Field(default="assistant", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """The alias that answers by the default model until it is moved."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    grounding: GroundingSettings = GroundingSettings()
    ingestion: IngestionSettings = IngestionSettings()
    http: HttpSettings = HttpSettings()
    ray: RaySettings = RaySettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    milvus: MilvusSettings = MilvusSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    tracing: TracingSettings = TracingSettings()
    training: TrainingQueueSettings = TrainingQueueSettings()
    monitor: MonitorSettings = MonitorSettings()
    experiments: ExperimentSettings = ExperimentSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    drift: DriftSettings = DriftSettings()
    alerts: AlertSettings = AlertSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitsSettings = LimitsSettings()
    guards: GuardsSettings = GuardsSettings()
    tls: TlsSettings = TlsSettings()
    idempotency: IdempotencySettings = IdempotencySettings()

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @model_validator(mode="after")
    def _fallbacks_served(self) -> Self:
        served = {model.id for model in self.models}
        for model, smaller in self.limits.fallback_model.items():
            if unknown := sorted({model, smaller} - served):
                raise ValueError(
                    f"limits.fallback_model names {unknown[0]!r}; models has: "
                    f"{', '.join(sorted(served))}"
                )
            if model == smaller:
                raise ValueError(f"limits.fallback_model names {model!r} for itself")
        return self

    @model_validator(mode="after")
    def _models_distinct(self) -> Self:
        ids = [model.id for model in self.models]
        if not ids:
            raise ValueError("models is empty; at least one chat model is needed")
        if len(set(ids)) != len(ids):
            raise ValueError(f"models has the same id twice: {', '.join(ids)}")
        judge = self.grounding.fact_check.judge
        if judge is not None and judge not in ids:
            raise ValueError(
                f"grounding.fact_check.judge is {judge!r}; models has: {', '.join(ids)}"
            )
        return self

    @model_validator(mode="after")
    def _keys_beyond_loopback(self) -> Self:
        if self.access.keys == "off" and not is_loopback(self.http.host):
            raise ValueError(
                f"access.keys is off and http.host is {self.http.host!r}: without keys it listens "
                "on 127.0.0.1, ::1 or localhost only"
            )
        return self

    @property
    def database_url(self) -> str:
        """The records' SQLAlchemy URL, with the driver this project installs."""
        url = self.database.url or f"sqlite:///{self.data_dir / 'everloop.db'}"
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url

    @property
    def storage_url(self) -> str:
        """The bytes' fsspec URL."""
        return self.storage.url or f"file://{self.data_dir / 'files'}"

    @property
    def runs_folder(self) -> Path:
        """Where fine-tuning jobs keep their checkpoints."""
        return self.training.folder or self.data_dir / "runs"

    @property
    def milvus_uri(self) -> str:
        """Where Milvus answers."""
        return self.milvus.uri or f"http://127.0.0.1:{self.milvus.port}"

    @property
    def base_url(self) -> str:
        """What a client on this machine sets as `base_url`."""
        everywhere = self.http.host in {"0.0.0.0", "::"}  # noqa: S104
        host = self.tls.name or ("127.0.0.1" if everywhere else self.http.host)
        scheme = "http" if self.tls.certificate is None else "https"
        return f"{scheme}://{host}:{self.http.port}/v1"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: `resolve_settings` merges the sources, so that each is accounted for."""
        return (init_settings,)


SettingsSource = dict[str, str]
"""Dotted key → where its value came from; a key that is absent has its default."""


def is_loopback(host: str, *, mapped: bool = True) -> bool:
    """Whether an address is reached from this machine only: 127.0.0.0/8, ::1, or localhost.

    IPv4 in IPv6 (`::ffff:127.0.0.1`, RFC 4291) is what it is in IPv4: the system names sockets so
    that take both. Without `mapped` it is none.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    inner = getattr(address, "ipv4_mapped", None)
    return address.is_loopback if inner is None else mapped and inner.is_loopback


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat.update(_leaves(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _unknown_variables(environ: dict[str, str]) -> list[str]:
    known = {name.upper() for name in Settings.model_fields}
    problems = []
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX) or variable in _META_VARIABLES:
            continue
        head = variable.removeprefix(ENV_PREFIX).split(ENV_DELIMITER)[0]
        if head.upper() not in known:
            problems.append(f"{variable}: no such setting; `everloop config` lists them")
    return problems


def resolve_settings(
    overrides: dict[str, Any] | None = None, environ: dict[str, str] | None = None
) -> tuple[Settings, SettingsSource]:
    """Merge every source into one validated tree.

    Returns the settings and, for each key that some source set, the source's name.
    Raises SettingsError that lists every problem at once, each with its key and value.
    """
    env = dict(os.environ if environ is None else environ)
    profile = env.get("EVERLOOP_PROFILE") or "local"
    profile_file = PROFILES / f"{profile}.yaml"
    if not profile_file.is_file():
        known = ", ".join(sorted(path.stem for path in PROFILES.glob("*.yaml")))
        raise SettingsError(
            f"EVERLOOP_PROFILE={profile!r} is no profile.", fix=f"Allowed: {known}."
        )
    layers: list[tuple[str, dict[str, Any]]] = [
        (f"profile {profile}", read_mapping(profile_file, "Profile", SettingsError))
    ]
    if config := env.get("EVERLOOP_CONFIG"):
        layers.append(
            (config, read_mapping(Path(config).expanduser(), "EVERLOOP_CONFIG", SettingsError))
        )
    problems = _unknown_variables(env)
    layers.append(("environment", _environment_layer(env)))
    layers.append(("argument", overrides or {}))

    merged: dict[str, Any] = {"profile": profile}
    sources: SettingsSource = {}
    for name, tree in layers:
        merged = _merge(merged, tree)
        for key in _leaves(tree):
            sources[key] = name
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        problems += [_describe(item, sources) for item in error.errors()]
    if problems:
        raise SettingsError(
            "The settings have {} problem{}:\n  {}".format(
                len(problems), "" if len(problems) == 1 else "s", "\n  ".join(problems)
            )
        )
    return settings, sources


def _environment_layer(environ: dict[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    source.env_vars = {
        name.lower(): value for name, value in environ.items() if name not in _META_VARIABLES
    }
    try:
        return dict(source())
    except ValueError as error:
        cause = error.__cause__
        raise SettingsError(
            f"An {ENV_PREFIX}… variable does not parse: {error}" + (f" ({cause})" if cause else ""),
            fix="Lists and mappings are written as JSON.",
        ) from error


def _describe(item: "ErrorDetails", sources: SettingsSource) -> str:
    key = key_of(item)
    came_from = next((s for k, s in sources.items() if key.startswith(k) or k == key), None)
    return problem_of(item) + (f" (from {came_from})" if came_from else "")


def load_settings(overrides: dict[str, Any] | None = None) -> Settings:
    """Return the settings alone; see `resolve_settings`."""
    return resolve_settings(overrides)[0]
