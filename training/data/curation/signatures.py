"""MinHash signatures: the near-duplicates of a row without comparing it with every other.

Rows are compared by the runs of characters («shingles») in what users, tools and assistant say,
in normal form, without the dataset's frame. The share of equal places of two signatures estimates
the Jaccard similarity of the shingles (Broder 1997); rows that may be near are found by banding
(Leskovec, Rajaraman, Ullman: «Mining of Massive Datasets», chapter 3), both by datasketch.
"""

from typing import TYPE_CHECKING, Any, Final

from training.data.curation.frames import Frame, unframed
from training.data.settings import NearDuplicateSettings
from training.data.texts import normalised, spoken
from training.examples import Example

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Neighbours", "Signatures", "compared_text"]

_FAMILY: Final = 1  # of hash functions: not the run's seed, which decides the split only
_WEIGHTS: Final = (0.2, 0.8)  # candidates are verified, so a missed one is the worse mistake
_MULTIPLIER: Final = 0x9E3779B97F4A7C15  # odd, 2^64 over the golden ratio (Knuth)
_SCHEME: Final = "affine32"


class Signatures:
    """Makes signatures. Two processes make equal ones."""

    def __init__(self, settings: NearDuplicateSettings, frame: Frame) -> None:
        self._width = settings.shingle_characters
        self._frame = frame
        self._sketch = _empty_sketch(settings)

    def of(self, example: Example) -> bytes:
        """The signature: `permutations` numbers of 32 bits."""
        self._sketch.clear()
        self._sketch.update_batch(_shingles(compared_text(example, self._frame), self._width))
        return bytes(self._sketch.hashvalues.tobytes())


class Neighbours:
    """Signatures that were added, and which of them are near a given one."""

    def __init__(self, settings: NearDuplicateSettings) -> None:
        from datasketch import MinHashLSH

        self._threshold = settings.threshold
        self._sketch = _empty_sketch(settings)
        self._index = MinHashLSH(
            threshold=settings.threshold, num_perm=settings.permutations, weights=_WEIGHTS
        )
        self._added: dict[int, np.ndarray[Any, Any]] = {}

    def near(self, signature: bytes) -> list[int]:
        """Keys of the added signatures that are at least as similar as the threshold, in order."""
        import numpy as np

        sketch = self._as_sketch(signature)
        keys = sorted(self._index.query(sketch))
        if not keys:
            return []
        equal = np.stack([self._added[key] for key in keys]) == sketch.hashvalues
        similar = equal.mean(axis=1) >= self._threshold
        return [key for key, near in zip(keys, similar, strict=True) if near]

    def add(self, key: int, signature: bytes) -> None:
        """Let later ones be near this one."""
        sketch = self._as_sketch(signature)
        self._added[key] = sketch.hashvalues
        self._index.insert(key, sketch, check_duplication=False)

    def _as_sketch(self, signature: bytes) -> Any:
        """The signature as the index takes it, until the next call."""
        import numpy as np

        self._sketch.hashvalues = np.frombuffer(signature, dtype=np.uint32)
        return self._sketch


def compared_text(example: Example, frame: Frame) -> str:
    """What is compared: the words of all spoken turns, the first question without the frame."""
    said = spoken(example)
    alike = " ".join(unframed(said, frame))
    return alike or normalised(" ".join(turn.text for turn in said))


def _shingles(text: str, width: int) -> list[int]:
    """Hashes, of 32 bits, of all runs of `width` characters; of the whole text if it is shorter."""
    import numpy as np

    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    width = min(width, len(codes))
    if not width:
        return [0]
    multiplier = np.uint64(_MULTIPLIER)
    hashes = np.zeros(len(codes) - width + 1, dtype=np.uint64)
    for offset in range(width):
        hashes = (hashes + codes[offset : offset + len(hashes)]) * multiplier
        hashes ^= hashes >> np.uint64(29)
    return [int(value) for value in np.unique(hashes >> np.uint64(32))]


def _empty_sketch(settings: NearDuplicateSettings) -> Any:
    from datasketch import MinHash

    return MinHash(num_perm=settings.permutations, seed=_FAMILY, hashfunc=_same, scheme=_SCHEME)


def _same(value: int) -> int:
    return value
