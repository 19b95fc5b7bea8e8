"""What the recogniser has learned: a weight for each trait, from the packaged file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cluster.errors import EverloopError

__all__ = ["WEIGHTS", "Weights", "load_weights", "packed", "source_digest"]

WEIGHTS: Final = Path(__file__).with_name("weights.npz")
_SOURCES: Final = ("lexicon.yaml", "lexicon.py", "reading.py", "traits.py")
"""What a trait's number depends on."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of one kind of attack. The sum over a text's traits, and `bias`, is a logit."""

    of: list[float]
    bias: float

    def logit(self, traits: Iterable[int]) -> float:
        """How much speaks for an attack; above 0 more than against it."""
        of = self.of
        return self.bias + sum([of[trait] for trait in traits])


def source_digest() -> str:
    """A digest of what gives traits their numbers: weights of another one mean nothing."""
    folder = Path(__file__).parent
    return sha256(b"\0".join((folder / name).read_bytes() for name in _SOURCES)).hexdigest()


def packed(learned: Mapping[str, tuple[Any, float]]) -> dict[str, Any]:
    """What `load_weights` reads: by kind, weights in 255 steps."""
    import numpy as np

    arrays: dict[str, Any] = {"source": np.array(source_digest())}
    for kind, (weights, bias) in learned.items():
        step = float(np.abs(weights).max()) / 127
        arrays[f"{kind}/steps"] = np.rint(weights / step).astype(np.int8)
        arrays[f"{kind}/scale"] = np.array([step, bias], np.float32)
    return arrays


@cache
def load_weights() -> Mapping[str, Weights]:
    """The packaged weights, by kind. Raises EverloopError where they are for other traits."""
    import numpy as np

    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        if str(arrays["source"]) != source_digest():
            raise EverloopError(
                f"{WEIGHTS.name} was made for another lexicon than the one beside it.",
                fix="Make it anew: python -m deployments.guards.recogniser.training",
            )
        kinds = [name.removesuffix("/steps") for name in arrays.files if name.endswith("/steps")]
        found = {}
        for kind in kinds:
            step, bias = (float(value) for value in arrays[f"{kind}/scale"])
            found[kind] = Weights((arrays[f"{kind}/steps"] * step).tolist(), bias)
        return found
