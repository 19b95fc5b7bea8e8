"""What ordinary texts look like to the recogniser: readings of documents, without their words.

`background.npz` keeps, for thousands of sentences of software documentation, manual pages, code,
abstracts and customers' questions, which concepts stand in which order. No text can be had back
from it. Names of concepts are kept with it, so that a lexicon with others may still use it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deployments.guards.recogniser.lexicon import Lexicon, Meaning

__all__ = ["BACKGROUND", "kept", "load_background"]

BACKGROUND: Final = Path(__file__).with_name("background.npz")
_WORD_ENDS, _PART_ENDS = 255, 254


def kept(parts: Mapping[str, Sequence[Sequence[Meaning]]], lexicon: Lexicon) -> dict[str, Any]:
    """Arrays for `load_background`: readings by place («documents», «questions»)."""
    import numpy as np

    arrays: dict[str, Any] = {"names": np.array(lexicon.names)}
    for place, readings in parts.items():
        flat: list[int] = []
        for reading in readings:
            for meaning in reading:
                flat += [*meaning, _WORD_ENDS]
            flat.append(_PART_ENDS)
        arrays[place] = np.array(flat, np.uint8)
    return arrays


def load_background(lexicon: Lexicon) -> Mapping[str, list[list[Meaning]]]:
    """The readings, by place. A concept that the lexicon does not have means nothing."""
    import numpy as np

    numbers = {name: number for number, name in enumerate(lexicon.names)}
    with np.load(BACKGROUND, allow_pickle=False) as arrays:
        names = [numbers.get(str(name), 0) for name in arrays["names"]]
        return {
            place: list(_parts(arrays[place].tolist(), names))
            for place in arrays.files
            if place != "names"
        }


def _parts(flat: Sequence[int], names: Sequence[int]) -> Iterator[list[Meaning]]:
    part: list[Meaning] = []
    word: list[int] = []
    for code in flat:
        if code == _PART_ENDS:
            yield part
            part = []
        elif code == _WORD_ENDS:
            part.append(tuple(word))
            word = []
        else:
            word.append(names[code])
