"""Settings of the models, the HTTP front and the cluster."""

from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from cluster.sections.section import Section

__all__ = ["SAFE_FORMATS", "EmbeddingSettings", "HttpSettings", "ModelSettings", "RaySettings"]

SAFE_FORMATS: Final = (
    "safetensors",
    "fastsafetensors",
    "runai_streamer",
    "sharded_state",
    "mistral",
    "gguf",
    "dummy",
)
"""vLLM's formats of weights that hold numbers only."""


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
    capacity_tokens: int | None = Field(default=None, ge=256)
    """Tokens of prompts and answers that a replica holds in its KV cache, as vLLM's log says; the
    gateway lets no more in at once. Null: `max_context_tokens` for each of the requests."""
    surge: bool = False
    """Whether an update starts a new replica before it stops the old one: it needs room for one
    more. Without it, requests to a model of one replica wait until the new one has started."""
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
    remote_code: str | None = None
    """Its `source` once more allows this model to run the Python code that comes with it."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """Further vLLM engine arguments, passed as they are."""

    @model_validator(mode="after")
    def _safe_to_load(self) -> Self:
        if self.remote_code not in {None, self.source}:
            raise ValueError(
                f"remote_code is {self.remote_code!r}; it must name the model's source "
                f"{self.source!r}, or be null"
            )
        if "trust_remote_code" in self.engine:
            raise ValueError(
                "engine.trust_remote_code is not passed on; name the source in remote_code"
            )
        form = self.engine.get("load_format", SAFE_FORMATS[0])
        if form not in SAFE_FORMATS:
            raise ValueError(
                f"engine.load_format is {form!r}; allowed: {', '.join(SAFE_FORMATS)} "
                "(others can run code when they are read)"
            )
        return self

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
    max_queued_requests: int = Field(default=256, ge=0)
    """Requests that Serve's proxy holds for a gateway replica before it answers 503 by itself."""
    max_body_bytes: int = Field(default=8 * 1024**2, ge=1024)
    """Largest JSON body."""
    max_json_depth: int = Field(default=64, ge=8, le=200)
    """Levels of lists and objects in a JSON body; Python's parsers end a little above 200."""
    max_json_items: int = Field(default=500_000, ge=1000)
    """Values in a JSON body."""
    request_timeout_s: float = Field(default=300.0, gt=0)
    """Deadline of one request; a client may send a shorter one as `x-request-timeout`."""
    replica_wait_s: float = Field(default=20.0, gt=0)
    """A request that has waited this long while its model has no running replica gets a 503."""
    replica_silence_s: float = Field(default=10.0, ge=5)
    """A model's replica that has begun an answer and gives no sign of life for this long is taken
    for lost: another one goes on with the answer. A replica in order gives one each second."""
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
