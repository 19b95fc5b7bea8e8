"""Which scope a request asks for."""

import re
from typing import Final

from cluster.keys import SCOPES, Scope
from deployments.feedback.cross_origin import END_USER_PATH

__all__ = ["is_end_users", "is_open", "scopes_of"]

_OPEN: Final = frozenset({"/healthz", "/readyz"})
_READ: Final = "GET|HEAD"
_ALL: Final = "[A-Z]+"
_ADMIN: Final[frozenset[Scope]] = frozenset({"admin"})


def _rule(methods: str, path: str, *scopes: Scope) -> tuple[re.Pattern[str], frozenset[Scope]]:
    """`path`: `*` stands for one segment, `/**` at the end for all that is below, too."""
    pattern = re.escape(path).replace(r"/\*\*", "(?:/.*)?").replace(r"\*", "[^/]+")
    return re.compile(f"(?:{methods}) {pattern}/?", re.DOTALL), frozenset(scopes)


_RULES: Final = (
    _rule(_READ, "/docs/**", *SCOPES),
    _rule(_READ, "/openapi.json", *SCOPES),
    _rule(_READ, "/static-offline-docs/**", *SCOPES),
    _rule(_READ, "/v1/models/**", *SCOPES),
    _rule("DELETE", "/v1/models/**", "training"),
    _rule(_ALL, "/v1/chat/**", "inference"),
    _rule(_ALL, "/v1/completions", "inference"),
    _rule(_ALL, "/v1/responses/**", "inference"),
    _rule(_ALL, "/v1/embeddings", "inference"),
    _rule(_ALL, "/v1/rerank", "inference"),
    _rule(_ALL, "/v1/moderations", "inference"),
    _rule(_ALL, "/v1/files/**", "documents", "training"),
    # Whoever asks with file_search finds its passages so, too.
    _rule(_READ, "/v1/vector_stores", "documents", "inference"),
    _rule(_READ, "/v1/vector_stores/*", "documents", "inference"),
    _rule("POST", "/v1/vector_stores/*/search", "documents", "inference"),
    _rule(_ALL, "/v1/vector_stores/**", "documents"),
    # What answers questions takes what is said of the answers; reading and reviewing is learning.
    _rule("POST", "/v1/feedback", "inference", "training"),
    _rule("POST", "/v1/feedback/tokens", "inference", "training"),
    _rule(_ALL, "/v1/feedback/**", "training"),
    _rule(_ALL, "/v1/fine_tuning/**", "training"),
    _rule(_ALL, "/v1/adapters/**", "training"),
    _rule(_ALL, "/v1/aliases/**", "training"),
    _rule(_ALL, "/v1/gate_runs/**", "training"),
    _rule(_ALL, "/v1/evals/**", "training"),
    _rule(_ALL, "/v1/prompts/**", "training"),
    _rule(_ALL, "/v1/experiments/**", "training"),
    _rule(_ALL, "/v1/drift/**", "training"),
    _rule(_ALL, "/v1/traces/**", "training"),
    _rule(_ALL, "/v1/lineage/**", "training"),
    _rule(_ALL, "/v1/alerts/**", "training"),
)
"""The first that fits counts; what none fits is for `admin`: keys, projects, the audit log,
metrics, and whatever is new."""


def is_open(path: str) -> bool:
    """Whether a path answers without a key: the health checks."""
    return path.rstrip("/") in _OPEN


def is_end_users(method: str, path: str) -> bool:
    """Whether a request takes an end user's token in place of a key."""
    return method == "POST" and path == END_USER_PATH


def scopes_of(method: str, path: str) -> frozenset[Scope]:
    """The scopes of which a key needs one."""
    request = f"{method} {path}"
    return next((scopes for rule, scopes in _RULES if rule.fullmatch(request)), _ADMIN)
