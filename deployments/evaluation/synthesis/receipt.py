"""What was drafted, what each filter removed, and what is left."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from deployments.evaluation.synthesis.drafts import Draft

__all__ = ["Receipt"]


@dataclass(slots=True)
class Receipt:
    """Counts of one synthesis. `drafted` is `kept` and all that was removed."""

    store_id: str
    wanted: int
    seed: int
    found_within: int
    model: str | None
    documents: int = 0
    passages: int = 0
    drafted: Counter[str] = field(default_factory=Counter)
    """By method."""
    removed: dict[str, Counter[str]] = field(default_factory=dict)
    """By filter, then by method."""
    kept: Counter[str] = field(default_factory=Counter)
    """By method."""
    prompts: set[str] = field(default_factory=set)

    def note(self, draft: Draft, objection: str | None) -> None:
        """Count a draft that was kept, or removed by a filter."""
        self.drafted[draft.method] += 1
        if objection is None:
            self.kept[draft.method] += 1
            self.prompts.add(draft.prompt)
        else:
            self.removed.setdefault(objection, Counter())[draft.method] += 1

    @property
    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "object": "synthesis.receipt",
            "synthetic": True,
            "vector_store_id": self.store_id,
            "documents": self.documents,
            "passages": self.passages,
            "wanted": self.wanted,
            "kept": self.kept.total(),
            "drafted": self.drafted.total(),
            "by_method": {
                method: {
                    "drafted": count,
                    "kept": self.kept[method],
                    "removed": {
                        name: counts[method]
                        for name, counts in self.removed.items()
                        if counts[method]
                    },
                }
                for method, count in self.drafted.items()
            },
            "removed": {name: counts.total() for name, counts in self.removed.items()},
            "generator": self.model,
            "prompts": sorted(self.prompts),
            "found_within": self.found_within,
            "seed": self.seed,
        }
