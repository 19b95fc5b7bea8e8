"""`python -m tests.deployments.embedder.killing FOLDER CALL...`: an Embedder that a text kills.

Embeds each CALL, words with commas between, at once with the others, and prints a line for each:
its number, and `done` or the code of its error. The word `poison` ends the process on the spot.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deployments.embedder.embedder import Embedder
from deployments.embedder.journal import Journal
from deployments.errors import RequestError
from ingestion.embedding import Encoded, Window

_NOTHING = np.zeros((0, 2), np.float32)


class Mortal:
    """A model of which a text is one window of one token: 13 is poison."""

    dimension = 2
    workers = 2

    def windows(self, texts: Sequence[str]) -> list[list[Window]]:
        return [[Window((13,) if text == "poison" else tuple(text.encode()), 1)] for text in texts]

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        return ["" for _ in tokens]

    def forward(self, windows: Sequence[Window], *, token_vectors: bool = False) -> list[Encoded]:
        if any(window.ids == (13,) for window in windows):
            os._exit(9)
        return [Encoded(np.array([1, 0], np.float32), _NOTHING) for _ in windows]


async def _main(folder: Path, calls: Sequence[Sequence[str]]) -> None:
    journal = Journal(folder)
    embedder = Embedder(Mortal(), batch_tokens=4096, max_queued_texts=100, journal=journal)

    async def ask(number: int, texts: Sequence[str]) -> None:
        try:
            await embedder.embed(texts, priority="bulk")
            print(number, "done", flush=True)
        except RequestError as error:
            print(number, error.code, flush=True)

    await asyncio.gather(*(ask(number, texts) for number, texts in enumerate(calls)))
    embedder.close()
    journal.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), [call.split(",") for call in sys.argv[2:]]))
