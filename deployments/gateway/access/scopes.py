"""Which scope a path asks for."""

from typing import Final

from cluster.keys import Scope

__all__ = ["is_open", "scopes_of"]

_OPEN: Final = frozenset({"/healthz", "/readyz"})
_ANY: Final[frozenset[Scope]] = frozenset()


def _any_of(*scopes: Scope) -> frozenset[Scope]:
    return frozenset(scopes)


_BY_PREFIX: Final[tuple[tuple[str, frozenset[Scope]], ...]] = (
    ("/v1/models", _ANY),
    ("/v1/chat", _any_of("inference")),
    ("/v1/completions", _any_of("inference")),
    ("/v1/responses", _any_of("inference")),
    ("/v1/embeddings", _any_of("inference")),
    ("/v1/rerank", _any_of("inference")),
    ("/v1/moderations", _any_of("inference")),
    ("/v1/files", _any_of("documents", "training")),
    ("/v1/vector_stores", _any_of("documents")),
    ("/v1/feedback", _any_of("inference", "training")),
    ("/v1/fine_tuning", _any_of("training")),
    ("/v1/adapters", _any_of("training")),
    ("/v1/aliases", _any_of("training")),
    ("/v1/gate_runs", _any_of("training")),
    ("/v1/evals", _any_of("training")),
    ("/v1/graders", _any_of("training")),
    ("/v1/prompts", _any_of("training")),
    ("/v1/experiments", _any_of("training")),
    ("/v1/drift", _any_of("training")),
    ("/v1/traces", _any_of("training")),
    ("/v1/lineage", _any_of("training")),
    ("/v1/alerts", _any_of("training")),
)


def is_open(path: str) -> bool:
    """Whether a path answers without a key: the health checks."""
    return path.rstrip("/") in _OPEN


def scopes_of(path: str) -> frozenset[Scope]:
    """The scopes of which a key needs one; none where any key will do; else `admin`."""
    for prefix, scopes in _BY_PREFIX:
        if path == prefix or path.startswith(f"{prefix}/"):
            return scopes
    return frozenset({"admin"})
