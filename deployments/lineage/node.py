"""What lineage is made of: things with a type and an id, and links from cause to effect."""

from typing import Final, Literal, NamedTuple

from cluster.adapters import ADAPTER_PREFIX

__all__ = [
    "ANSWERER",
    "PREFIXES",
    "RAISER",
    "Direction",
    "Link",
    "Node",
    "node_of",
    "type_of",
    "types_meant",
]

Direction = Literal["backward", "forward"]
"""To what a thing was made of, or to what it had a part in."""

ANSWERER: Final = "answerer"
"""Stands for what an id's beginning tells: `adapter`, else `model`."""
RAISER: Final = "raiser"
"""The same for what raises alerts: `drift.monitor`, else `experiment`."""
_EITHER: Final = {ANSWERER: ("model", "adapter"), RAISER: ("experiment", "drift.monitor")}

PREFIXES: Final = {
    "trace_": "trace",
    "resp_": "response",
    "fb_": "feedback",
    "psg_": "passage",
    "file-": "file",
    "vs_": "vector_store",
    ADAPTER_PREFIX: "adapter",
    "ftjob-": "fine_tuning.job",
    "ftckpt_": "fine_tuning.job.checkpoint",
    "gate_": "gate_run",
    "eval_": "eval",
    "evalrun_": "eval.run",
    "evalcmp_": "eval.comparison",
    "exp_": "experiment",
    "monitor_": "drift.monitor",
    "drift_": "drift.report",
    "alert_": "alert",
}
"""How ids begin, and the type of what they name."""


class Node(NamedTuple):
    """A thing. Types are those that `object` gives in the API."""

    type: str
    id: str


class Link(NamedTuple):
    """`source` had a part in `target`."""

    source: Node
    target: Node
    kind: str

    def end(self, direction: Direction) -> Node:
        """Where one comes to by going over it."""
        return self.source if direction == "backward" else self.target


def type_of(name: str) -> str | None:
    """The type that an id tells by how it begins; None for names of aliases, prompts and models."""
    for prefix, type_ in PREFIXES.items():
        if name.startswith(prefix):
            return "vector_store.file" if type_ == "vector_store" and "/" in name else type_
    return None


def types_meant(type_: str) -> tuple[str, ...]:
    """The types that a type, or ANSWERER or RAISER, stands for."""
    return _EITHER.get(type_, (type_,))


def node_of(type_: str, name: str) -> Node:
    """The thing of that id, and of that type or of the one that ANSWERER or RAISER stands for."""
    meant = types_meant(type_)
    told = type_of(name)
    return Node(told if told in meant else meant[0], name)
