"""The one typed settings tree, and where each value came from.

Order, strongest first: arguments, `EVERLOOP_…` environment (`__` between levels, for example
`EVERLOOP_HTTP__PORT=8001`), the file that `EVERLOOP_CONFIG` names, the profile that
`EVERLOOP_PROFILE` names (`local` or `gpu`), the defaults below.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from cluster.errors import SettingsError
from cluster.problems import key_of, problem_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "DatabaseSettings",
    "EmbeddingSettings",
    "EvaluationSettings",
    "GroundingSettings",
    "HttpSettings",
    "IngestionSettings",
    "JudgeBar",
    "MilvusSettings",
    "ModelSettings",
    "OutsideModelSettings",
    "RaySettings",
    "RetrievalSettings",
    "Settings",
    "SettingsSource",
    "StorageSettings",
    "TracingSettings",
    "load_settings",
    "resolve_settings",
]

PROFILES: Final = Path(__file__).parent / "profiles"
ENV_PREFIX: Final = "EVERLOOP_"
ENV_DELIMITER: Final = "__"
_META_VARIABLES: Final = frozenset(
    {"EVERLOOP_PROFILE", "EVERLOOP_CONFIG", "EVERLOOP_API_KEY", "EVERLOOP_CLUSTER_ID"}
)


class Section(BaseModel):
    """A part of the tree: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelSettings(Section):
    """One chat model and the replicas that serve it."""

    id: str = Field(pattern=r"^[A-Za-z0-9._/-]{1,128}$")
    """The name that clients send as `model`. No colon: Ray Serve LLM splits adapter names there."""
    source: str = "packaged:smollm2-135m-instruct"
    """`packaged:NAME`, a local folder, or a hub id such as `Qwen/Qwen3-0.6B`."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where the engine runs."""
    dtype: str = "float32"
    """vLLM's dtype. On AVX2 processors float32 is several times faster than bfloat16."""
    max_context_tokens: int = Field(default=4096, ge=256)
    """Prompt and answer together, in tokens."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs per replica."""
    cpus_per_replica: float = Field(default=1.0, gt=0)
    """CPUs that Ray reserves for a replica."""
    kv_cache_gib: float = Field(default=1.0, gt=0)
    """KV cache on CPU, in GiB."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of the GPU's memory that vLLM takes."""
    min_replicas: int = Field(default=1, ge=0)
    """Replicas kept when idle."""
    max_replicas: int = Field(default=1, ge=1)
    """Replicas under load."""
    target_ongoing_requests: float = Field(default=8, gt=0)
    """Requests in flight per replica that autoscaling aims at."""
    max_ongoing_requests: int = Field(default=32, ge=1)
    """Requests a replica takes at once."""
    max_queued_requests: int = Field(default=64, ge=0)
    """Requests that wait for a replica before the gateway answers 429."""
    stall_timeout_s: float = Field(default=30.0, gt=0)
    """An engine with work and without progress for this long is hung, and is replaced."""
    coalesce_ms: float = Field(default=500.0, ge=0)
    """Longest time for which later tokens wait for others under load; 0 sends each at once."""
    max_adapters: int = Field(default=4, ge=0)
    """LoRA adapters that a replica holds at once; further ones take the place of the least recently
    used. 0 serves the model's own weights only."""
    max_adapter_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 16
    """Largest LoRA rank that can be served. Every place for an adapter takes memory for it."""
    tool_call_parser: str | None = "hermes"
    """vLLM's tool parser, or null to switch tools off."""
    chat_template: str | None = None
    """A Jinja file that replaces the model's own chat template."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """Further vLLM engine arguments, passed as they are."""

    @model_validator(mode="after")
    def _replicas_in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}"
            )
        return self


class EmbeddingSettings(Section):
    """The embedding model and its replicas."""

    id: str = "all-minilm-l6-v2"
    """The name that clients send as `model` to /v1/embeddings."""
    source: str = "packaged:all-minilm-l6-v2"
    """`packaged:NAME`, a local sentence-transformers folder, or a hub id."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where it runs."""
    replicas: int = Field(default=1, ge=1)
    """Fixed number of replicas."""
    cpus_per_replica: float = Field(default=0.2, gt=0)
    """CPUs that Ray reserves for a replica."""
    threads: int = Field(default=0, ge=0)
    """Torch threads; 0 takes every core of the machine."""
    batch_tokens: int = Field(default=4096, ge=64)
    """Upper bound of tokens, padding included, in one forward pass."""
    max_queued_texts: int = Field(default=4096, ge=1)
    """Texts that may wait before the embedder refuses more."""


class RetrievalSettings(Section):
    """How passages are found and ranked."""

    mode: Literal["hybrid", "dense", "bm25"] = "hybrid"
    """Default search mode."""
    fusion: Literal["rrf", "weighted"] = "rrf"
    """How dense and BM25 rankings are merged."""
    dense_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of the dense side under `fusion: weighted`."""
    candidates: int = Field(default=50, ge=1, le=1000)
    """Passages taken from each side before fusion."""
    feedback_passages: int = Field(default=3, ge=0, le=20)
    """Hybrid search moves the query towards this many leading passages; 0 is off."""
    feedback_weight: float = Field(default=0.75, ge=0, le=2)
    """Their weight beside the query's 1 (0.75 is the textbook value of Rocchio's rule)."""
    limit: int = Field(default=10, ge=1, le=50)
    """Passages returned by default."""
    rerank: bool = False
    """Rerank by default."""
    reranker: str = "late-interaction"
    """`late-interaction` (token vectors of the embedding model) or a cross-encoder's source."""
    rerank_candidates: int = Field(default=30, ge=1, le=200)
    """Passages that are reranked."""
    mmr_lambda: float | None = Field(default=None, ge=0, le=1)
    """Maximal marginal relevance: 1 is relevance only, 0 diversity only, null is off."""
    score_threshold: float = Field(default=0.0, ge=0, le=1)
    """Passages below are not returned."""
    replicas: int = Field(default=1, ge=1)
    """Fixed number of retriever replicas."""
    cpus_per_replica: float = Field(default=0.1, gt=0)
    """CPUs that Ray reserves for a replica."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Time limit of one search."""


class GroundingSettings(Section):
    """How passages become a prompt and an answer becomes citations."""

    prompt: str = "grounded_answer"
    """Name of the prompt file in `deployments/prompts/`."""
    max_context_tokens: int = Field(default=900, ge=64)
    """Upper bound of passage tokens in the prompt; never more than context minus answer."""
    answer_tokens: int = Field(default=256, ge=16)
    """Tokens kept free for the answer when the client sets no limit."""
    max_passages: int = Field(default=4, ge=1, le=50)
    """Passages in the prompt by default."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Default temperature of grounded answers."""
    min_similarity: float = Field(default=0.30, ge=-1, le=1)
    """Cosine of question and best passage below which terms must carry the support."""
    min_term_coverage: float = Field(default=0.7, ge=0, le=1)
    """Share of the question's weighted terms that the passages must hold."""
    attribution_similarity: float = Field(default=0.60, ge=0, le=1)
    """Cosine of sentence and passage window from which the sentence counts as supported."""
    attribution_overlap: float = Field(default=0.60, ge=0, le=1)
    """Share of a sentence's content terms in a passage from which it counts as supported."""


class IngestionSettings(Section):
    """How documents are parsed and cut."""

    chunking: dict[str, Any] = Field(default_factory=lambda: {"type": "auto"})
    """Default chunking strategy."""
    file_timeout_s: float = Field(default=300.0, gt=0)
    """Time limit for parsing one file."""
    parsers: int = Field(default=1, ge=1)
    """Parser processes."""
    parser_memory_mib: int = Field(default=2048, ge=128)
    """Memory that a parser process may take beyond what it has when idle."""
    max_file_bytes: int = Field(default=512 * 1024**2, ge=1)
    """Largest upload."""
    max_attempts: int = Field(default=3, ge=1)
    """Tries for a file whose worker died."""
    max_files_per_store: int = Field(default=10_000, ge=1)
    """Files a vector store may hold, as at OpenAI."""
    url_timeout_s: float = Field(default=30.0, gt=0)
    """Time limit for fetching a URL."""
    url_max_bytes: int = Field(default=50 * 1024**2, ge=1)
    """Largest fetched page."""
    allow_private_urls: bool = False
    """Fetch from loopback and private addresses too."""


class HttpSettings(Section):
    """The HTTP front."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    replicas: int = Field(default=1, ge=1)
    """Gateway replicas."""
    cpus_per_replica: float = Field(default=0.1, gt=0)
    """CPUs that Ray reserves for a gateway replica."""
    max_ongoing_requests: int = Field(default=256, ge=1)
    """Requests a gateway replica handles at once."""
    max_body_bytes: int = Field(default=8 * 1024**2, ge=1024)
    """Largest JSON body."""
    request_timeout_s: float = Field(default=300.0, gt=0)
    """Deadline of one request; a client may send a shorter one as `x-request-timeout`."""
    replica_wait_s: float = Field(default=20.0, gt=0)
    """A request that has waited this long while its model has no running replica gets a 503."""
    retry_after_s: int = Field(default=2, ge=1)
    """What a 429 or 503 tells the client to wait."""
    background_wait_s: float = Field(default=10.0, ge=0)
    """So long a background request waits for its turn before it gets a 429."""
    background_queue: int = Field(default=64, ge=0)
    """Background requests that may wait in a gateway replica."""
    quiet_s: float = Field(default=5.0, ge=0)
    """After a user's request, background ones have the machine to themselves no sooner."""


class RaySettings(Section):
    """The Ray cluster."""

    address: str | None = None
    """Address of a running cluster (`auto`, `host:6379`); null starts one on this machine."""
    port: int = Field(default=6379, ge=1, le=65535)
    """GCS port of the cluster that `up` starts."""
    dashboard_port: int = Field(default=8265, ge=1, le=65535)
    """Dashboard and jobs port."""
    metrics_port: int = Field(default=8090, ge=1, le=65535)
    """Where Ray exports Prometheus metrics."""
    num_cpus: float | None = None
    """CPUs Ray may schedule; null takes all of the machine's."""
    object_store_mib: int = Field(default=256, ge=80)
    """Object store memory of the cluster that `up` starts."""


class DatabaseSettings(Section):
    """The records."""

    url: str | None = None
    """SQLAlchemy URL, such as `postgresql://user:password@host/everloop`; null is SQLite."""
    pool_size: int = Field(default=5, ge=1)
    """Connections per process."""


class StorageSettings(Section):
    """The bytes."""

    url: str | None = None
    """fsspec URL such as `s3://bucket/prefix`; null is a folder under `data_dir`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """fsspec options, such as `endpoint_url`, `key`, `secret`."""


class MilvusSettings(Section):
    """The vectors."""

    uri: str | None = None
    """A Milvus server, such as `http://milvus:19530`; null runs Milvus Lite on loopback."""
    token: str | None = None
    """Token, or `user:password`."""
    port: int = Field(default=19530, ge=1, le=65535)
    """Port of the embedded Lite server."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Time limit of one call."""


class OutsideModelSettings(Section):
    """A model of another OpenAI API, which graders and runs may name."""

    id: str = Field(pattern=r"^[A-Za-z0-9._/-]{1,128}$")
    """The name here."""
    base_url: str = Field(pattern=r"^https?://")
    """Its API, such as `https://api.openai.com/v1`."""
    model: str
    """Its name there."""
    key_variable: str | None = None
    """Environment variable of the Evaluator that holds the key."""


class JudgeBar(Section):
    """What a judge must show before its verdicts count."""

    min_kappa: float = Field(default=0.6, ge=-1, le=1)
    """Cohen's kappa with people; 0.61 to 0.80 is «substantial» (Landis and Koch 1977)."""
    require_human_labels: bool = True
    """False: a judge that was never compared with people may decide, if all else is in order."""
    min_labelled: int = Field(default=30, ge=1)
    """Items with a person's label from which kappa says anything."""
    min_items: int = Field(default=30, ge=1)
    """Items from which the judge's figures say anything."""
    max_parse_failures: int = Field(default=0, ge=0)
    """Answers that are no verdict."""
    max_unanswered_share: float = Field(default=0.02, ge=0, le=1)
    """Share of verdicts that may be missing."""
    max_flip_rate: float = Field(default=0.2, ge=0, le=1)
    """Share of pairs whose two orders may disagree."""
    max_position_preference: float = Field(default=0.1, ge=0, le=0.5)
    """Distance of the first position's share from one half."""
    position_alpha: float = Field(default=0.05, gt=0, lt=1)
    """A preference beyond the distance counts where its p-value is below this."""


class EvaluationSettings(Section):
    """Scoring of live answers, and runs of evals."""

    sample_rate: float = Field(default=1.0, ge=0, le=1)
    """Share of grounded answers that the Evaluator scores."""
    max_queued: int = Field(default=256, ge=1)
    """Answers that may wait to be scored; more are counted as dropped."""
    cpus_per_replica: float = Field(default=0.1, gt=0)
    """CPUs that Ray reserves for the Evaluator."""
    replicas: int = Field(default=1, ge=1)
    """Evaluator replicas; they share runs."""
    run_concurrency: int = Field(default=8, ge=1, le=256)
    """Answers and verdicts that a replica asks models for at once."""
    batch_items: int = Field(default=64, ge=1, le=1000)
    """Items that are graded at a time where their answers are given."""
    lease_s: int = Field(default=30, ge=5, le=600)
    """Items of a replica that died are taken up by another after so many seconds."""
    max_attempts: int = Field(default=5, ge=1)
    """An item at which the Evaluator died so often is written off as an error."""
    answer_patience_s: float = Field(default=900.0, gt=0)
    """So long one answer is asked for while the model is busy or away."""
    max_items: int = Field(default=20_000, ge=1)
    """Items of a run."""
    max_data_bytes: int = Field(default=64 * 1024**2, ge=1024)
    """Size of a run's data."""
    max_graders: int = Field(default=32, ge=1)
    """Graders of an eval."""
    verdict_days: int = Field(default=90, ge=1)
    """Days for which a judge's verdict is remembered."""
    max_verdicts: int = Field(default=200_000, ge=1)
    """Verdicts that are remembered; the oldest go first."""
    base_url: str | None = None
    """Where the Evaluator asks for answers; null is this machine's gateway."""
    outside_models: tuple[OutsideModelSettings, ...] = ()
    """Models elsewhere that may judge or be evaluated."""
    judge_bar: JudgeBar = JudgeBar()
    """What a judge must show before its verdicts may decide a promotion."""


class TrainingQueueSettings(Section):
    """Fine-tuning jobs and gate runs on this cluster."""

    max_running: int = Field(default=1, ge=1)
    """Jobs and gate runs that run at once; others wait."""
    folder: Path | None = None
    """Folder of runs and their checkpoints; every node reaches it. Null is under `data_dir`."""
    max_crashes: int = Field(default=3, ge=0)
    """Times that a job is started again after its process ended without a word."""
    yield_above: float = Field(default=1.0, gt=0)
    """Requests for a model, those that wait included, as a share of what its replicas take at once,
    from which training gives its workers back."""
    yield_after_s: float = Field(default=3.0, ge=0)
    """So long the share must stand above."""
    resume_below: float = Field(default=0.5, ge=0)
    """The share under which training may have workers again."""
    resume_after_s: float = Field(default=30.0, ge=0)
    """So long the share must stand below."""
    cpus_per_replica: float = Field(default=0.05, gt=0)
    """CPUs that Ray reserves for the Trainer, which only starts and watches."""


class TracingSettings(Section):
    """Traces of requests."""

    max_buffered: int = Field(default=2048, ge=1)
    """Traces that may wait to be written; more are counted as dropped."""
    flush_interval_s: float = Field(default=0.2, gt=0)
    """Longest time a trace waits to be written."""
    store_text: bool = True
    """Keep questions, answers and passages in traces."""


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

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @model_validator(mode="after")
    def _models_distinct(self) -> Self:
        ids = [model.id for model in self.models]
        if not ids:
            raise ValueError("models is empty; at least one chat model is needed")
        if len(set(ids)) != len(ids):
            raise ValueError(f"models has the same id twice: {', '.join(ids)}")
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
        host = "127.0.0.1" if self.http.host in {"0.0.0.0", "::"} else self.http.host  # noqa: S104
        return f"http://{host}:{self.http.port}/v1"

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


def _read_yaml(path: Path, what: str) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise SettingsError(f"{what} {path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{what} {path} is not YAML: {error}.") from error
    if not isinstance(loaded, dict):
        raise SettingsError(f"{what} {path} holds a {type(loaded).__name__}, not a mapping.")
    return loaded


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
        (f"profile {profile}", _read_yaml(profile_file, "Profile"))
    ]
    if config := env.get("EVERLOOP_CONFIG"):
        layers.append((config, _read_yaml(Path(config).expanduser(), "EVERLOOP_CONFIG")))
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
