"""Makes the recogniser's weights from the shipped examples and readings of ordinary texts.

    python -m deployments.guards.recogniser.training
        [--background DOCUMENTS QUESTIONS | --more-background DOCUMENTS] [--left-out]

`--background` first makes `background.npz` anew from the text files of two folders: a third of what
is kept is drawn at random, the rest is what weights that know only that third find most suspicious.
`--more-background` adds as much of a folder to what is there: words that came into the lexicon
after `background.npz` was made mean nothing in it. `--left-out` says for each family of attacks
what is found of it by weights that never saw it, at the same rate of false alarms.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deployments.guards.recogniser.background import BACKGROUND, kept, load_background
from deployments.guards.recogniser.examples import KINDS, Example, Kind, examples
from deployments.guards.recogniser.lexicon import Meaning, load_lexicon
from deployments.guards.recogniser.recogniser import parts_of
from deployments.guards.recogniser.traits import TRAITS, traits
from deployments.guards.recogniser.weights import WEIGHTS, packed

__all__ = ["Examples", "main", "trained"]

_PENALTY: Final = 0.1
"""Inverse strength of the L2 penalty; of 0.005 to 0.15, which differ little."""
_LOOK_ALIKES: Final = 4
"""How often a harmless example counts: most were written to look like an attack."""
_FOLDS: Final = 3
_KEPT: Final = {"documents": 10_000, "questions": 1_500}
"""Readings of ordinary texts that are kept."""
_ALARMS: Final[Mapping[Kind, float]] = {
    "injection.passages": 0.007,
    "injection.input": 0.007,
    "jailbreak": 0.009,
}
"""Share of the kept readings, most of which are hard ones, that may raise an alarm. Of ordinary
texts from other sources less than 1 % then do."""


class Examples:
    """Labelled examples and ordinary readings, as traits."""

    def __init__(self, background: Mapping[str, list[list[Meaning]]] | None = None) -> None:
        lexicon = load_lexicon()
        self.drawn: Final[list[Example]] = examples()
        self.parts: Final = [
            [traits(part) for _, _, parts in parts_of(example.text, lexicon) for part in parts]
            for example in self.drawn
        ]
        background = load_background(lexicon) if background is None else background
        self.ordinary: Final = {
            place: [traits(part) for part in readings] for place, readings in background.items()
        }

    def of(self, kind: Kind, without: str = "") -> tuple[list[set[int]], list[int]]:
        """Traits and labels for a kind, of attacks without those of a family."""
        rows: list[set[int]] = []
        labels: list[int] = []
        for example, parts in zip(self.drawn, self.parts, strict=True):
            label = example.labels.get(kind)
            if label is None or example.family == without:
                continue
            told = [max(parts, key=len)] if label else parts * _LOOK_ALIKES
            rows += told
            labels += [int(label)] * len(told)
        return rows, labels

    def ordinary_for(self, kind: Kind) -> list[set[int]]:
        """Traits of ordinary texts."""
        places = ("documents",) if kind == "injection.passages" else ("documents", "questions")
        return [row for place in places for row in self.ordinary[place]]


def trained(data: Examples, kind: Kind, without: str = "") -> tuple[Any, float]:
    """Weights and bias for a kind: 0 is where the allowed share of ordinary readings lies."""
    import numpy as np

    rows, labels = data.of(kind, without)
    ordinary = data.ordinary_for(kind)
    unseen = np.empty(len(ordinary))
    for fold in range(_FOLDS):
        apart = range(fold, len(ordinary), _FOLDS)
        seen = [row for number, row in enumerate(ordinary) if number % _FOLDS != fold]
        weights, bias = _fitted([*rows, *seen], [*labels, *[0] * len(seen)])
        unseen[list(apart)] = _matrix([ordinary[number] for number in apart]) @ weights + bias
    weights, bias = _fitted([*rows, *ordinary], [*labels, *[0] * len(ordinary)])
    return weights, bias - float(np.quantile(unseen, 1 - _ALARMS[kind]))


def _fitted(rows: Sequence[set[int]], labels: Sequence[int]) -> tuple[Any, float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_PENALTY, solver="liblinear", random_state=0)
    model.fit(_matrix(rows), labels)
    return model.coef_[0], float(model.intercept_[0])


def _matrix(rows: Sequence[set[int]]) -> Any:
    import numpy as np
    from scipy.sparse import csr_matrix

    columns = [trait for row in rows for trait in sorted(row)]
    ends = np.cumsum([0, *map(len, rows)])
    return csr_matrix((np.ones(len(columns), np.float32), columns, ends), (len(rows), TRAITS))


def left_out(data: Examples, kind: Kind) -> dict[str, float]:
    """By family of attacks: the share that weights find which never saw the family."""
    found = {}
    for family in sorted({e.family for e in data.drawn if e.labels.get(kind)}):
        weights, bias = trained(data, kind, without=family)
        tops = [
            max(bias + weights[list(part)].sum() for part in parts)
            for example, parts in zip(data.drawn, data.parts, strict=True)
            if example.family == family
        ]
        found[family] = sum(top >= 0 for top in tops) / len(tops)
    return found


def _gathered(
    folders: Mapping[str, Path], before: Mapping[str, list[list[Meaning]]]
) -> dict[str, list[list[Meaning]]]:
    """What is kept of the texts in folders, behind what was kept before."""
    drawn = random.Random(0)  # noqa: S311 - no secret
    pools: dict[str, list[list[Meaning]]] = {}
    for place, folder in folders.items():
        unique = {tuple(part): None for part in _read(folder)}
        pools[place] = [list(part) for part in unique]
        drawn.shuffle(pools[place])
    found = dict(before)
    for place, pool in pools.items():
        first, rest = pool[: _KEPT[place] // 3], pool[_KEPT[place] // 3 :]
        data = Examples({name: [] for name in _KEPT} | {place: before.get(place, []) + first})
        rows = [traits(part) for part in rest]
        hardest: dict[int, None] = {}
        for kind in KINDS:
            attacks, labels = data.of(kind)
            known = data.ordinary[place]
            weights, _ = _fitted([*attacks, *known], [*labels, *[0] * len(known)])
            order = (-(_matrix(rows) @ weights)).argsort(kind="stable")
            hardest |= dict.fromkeys(order[: (_KEPT[place] - len(first)) // len(KINDS)].tolist())
        kept_now = [*first, *(rest[number] for number in sorted(hardest))]
        found[place] = before.get(place, []) + kept_now
    return found


def _read(folder: Path) -> Iterator[list[Meaning]]:
    lexicon = load_lexicon()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            for _, _, parts in parts_of(text, lexicon):
                yield from (list(part) for part in parts if part)


def main() -> int:
    """Make the weights."""
    import numpy as np

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--background", nargs=2, type=Path, metavar=("DOCUMENTS", "QUESTIONS"))
    source.add_argument("--more-background", type=Path, metavar="DOCUMENTS")
    parser.add_argument("--left-out", action="store_true")
    options = parser.parse_args()
    parts: dict[str, list[list[Meaning]]] = {}
    if options.background:
        documents, questions = options.background
        parts = _gathered({"documents": documents, "questions": questions}, {})
    elif options.more_background:
        before = load_background(load_lexicon())
        parts = _gathered({"documents": options.more_background}, before)
    if parts:
        np.savez_compressed(BACKGROUND, **kept(parts, load_lexicon()))
    data = Examples()
    np.savez_compressed(WEIGHTS, **packed({kind: trained(data, kind) for kind in KINDS}))
    if options.left_out:
        for kind in KINDS:
            for family, share in left_out(data, kind).items():
                sys.stdout.write(f"{kind}\t{family}\t{share:.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
