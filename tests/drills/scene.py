"""The system that is broken, the clients of it, and what it stands on."""

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import openai

from tests.drills.promises import Ledger
from tests.drills.traffic import EMBEDDING_MODEL, MODEL
from tests.fixtures.system import System

if TYPE_CHECKING:
    from tests.drills.surroundings import Surroundings

__all__ = ["Probe", "Scene"]

_HASTE_S: Final = 20.0
_PATIENCE_S: Final = 60.0
_READY_S: Final = 3.0
_GRADER: Final = {
    "type": "string_check",
    "name": "same",
    "input": "{{sample.output_text}}",
    "reference": "{{item.word}}",
    "operation": "eq",
}
Probe = Callable[[], bool]


@dataclass(frozen=True)
class Scene:
    """What a drill acts on, and how one asks whether a part works."""

    system: System
    surroundings: "Surroundings"
    client: openai.OpenAI = field(repr=False)
    """Gives up soon and never tries again: what fails is to be seen."""
    patient: openai.OpenAI = field(repr=False)
    """Looks up what was promised."""
    ledger: Ledger = field(default_factory=Ledger, repr=False)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count, repr=False)

    @classmethod
    def of(cls, system: System, surroundings: "Surroundings") -> "Scene":
        """Clients of `system`."""
        return cls(
            system,
            surroundings,
            system.client(max_retries=0).with_options(timeout=_HASTE_S),
            system.client(max_retries=4).with_options(timeout=_PATIENCE_S),
        )

    @property
    def data_dir(self) -> Path:
        """The system's data folder."""
        return self.system.data_dir

    def ready(self) -> bool:
        """Whether /readyz says so."""
        url = self.system.base_url.removesuffix("/v1") + "/readyz"
        try:
            return httpx.get(url, timeout=_READY_S, trust_env=False).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def answers(self) -> bool:
        """Whether the model answers."""
        said = self.client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Say yes."}], max_tokens=2
        )
        return bool(said.choices[0].message.content)

    def embeds(self) -> bool:
        """Whether the Embedder answers."""
        made = self.client.embeddings.create(model=EMBEDDING_MODEL, input=self._phrase())
        return bool(made.data[0].embedding)

    def grades(self) -> bool:
        """Whether the Evaluator answers."""
        word = self._phrase()
        body = {"grader": _GRADER, "item": {"word": word}, "model_sample": word}
        said = self.client.post("/fine_tuning/alpha/graders/run", body=body, cast_to=object)
        return bool(said["reward"])  # type: ignore[index]

    def searching(self) -> Probe:
        """Whether documents are found."""
        store = self.patient.vector_stores.create(name="probe").id

        def search() -> bool:
            return self.client.vector_stores.search(store, query=self._phrase()).data == []

        return search

    def ingesting(self) -> Probe:
        """Whether a document that is attached now gets done, and is then found."""
        attached: list[tuple[str, str]] = []

        def ingest() -> bool:
            if not attached:
                store = self.client.vector_stores.create(name="probe").id
                made = self.client.files.create(
                    file=("probe.txt", io.BytesIO(self._phrase().encode())), purpose="assistants"
                )
                self.client.vector_stores.files.create(vector_store_id=store, file_id=made.id)
                attached.append((store, made.id))
            store, file_id = attached[0]
            file = self.client.vector_stores.files.retrieve(file_id, vector_store_id=store)
            if file.status != "completed":
                return False
            return bool(self.client.vector_stores.search(store, query="probe").data)

        return ingest

    def _phrase(self) -> str:
        """A text that nothing has cached."""
        return f"This is probe number {next(self._numbers)}."
