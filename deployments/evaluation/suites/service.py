"""The service's evals, over HTTP with the openai client."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from cluster.client import require_store
from cluster.errors import ApiError
from cluster.paging import pages_of
from deployments.evaluation.suites.errors import SuiteError
from deployments.evaluation.suites.items import Row, items_of_text
from deployments.evaluation.suites.reading import LoadedSuite
from deployments.evaluation.suites.requests import (
    INLINE_BYTES,
    SUITE_DIGEST,
    eval_body,
    run_body,
    source_of,
    uploaded_lines,
)

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["ENDED", "EvalService"]

ENDED: Final = frozenset({"completed", "failed", "canceled", "cancelled"})
"""Statuses after which nothing more happens; OpenAI writes «canceled»."""
_EVALS: Final = 1_000
_NOT_FOUND: Final = 404


class EvalService:
    """What the commands ask of `/v1/evals`. Errors are openai's own; see `translated_errors`."""

    def __init__(self, client: "OpenAI") -> None:
        self._client = client

    def stored_rows(self, file_id: str) -> list[Row]:
        """The items of a file of the service."""
        text = self._client.files.content(file_id).text
        return items_of_text(text, file_id)

    def model_of(self, loaded: LoadedSuite, wanted: str | None) -> str | None:
        """What is to answer: the wanted model, the suite's, or the first; None where given."""
        answers = loaded.suite.answers
        if answers.given is not None:
            if wanted is not None:
                raise SuiteError(
                    f"--model {wanted} answers nothing: the suite's answers are given.",
                    fix="Leave --model out, or give the suite `answers.messages`.",
                )
            return None
        return wanted or answers.model or next(iter(self._client.models.list())).id

    def store_ids(self, loaded: LoadedSuite) -> list[str]:
        """Ids of the vector stores that the suite names. Raises ApiError for an unknown one."""
        search = loaded.suite.answers.file_search
        names = () if search is None else search.stores
        return [require_store(self._client, name).id for name in names]

    def ensure_eval(self, loaded: LoadedSuite, rows: Sequence[Row]) -> str:
        """The id of the suite's eval: one of equal schema and graders, else a new one."""
        body = eval_body(loaded, rows)
        digest = body["metadata"][SUITE_DIGEST]
        for known in self._newest_evals(_EVALS):
            metadata = known.get("metadata") or {}
            if metadata.get(SUITE_DIGEST) == digest and known.get("name") == body["name"]:
                return str(known["id"])
        with _as_suite_error(loaded):
            return self._client.evals.create(**cast("Any", body)).id

    def start(
        self,
        loaded: LoadedSuite,
        rows: Sequence[Row],
        eval_id: str,
        *,
        model: str | None,
        store_ids: Sequence[str],
        seed: int,
    ) -> str:
        """Start a run; returns its id."""
        source = self._source(loaded, rows)
        body = run_body(loaded, rows, source, model=model, store_ids=store_ids, seed=seed)
        with _as_suite_error(loaded):
            return self._client.evals.runs.create(eval_id, **cast("Any", body)).id

    def run(self, eval_id: str, run_id: str) -> dict[str, Any]:
        """A run as it stands."""
        return self._got(f"/evals/{eval_id}/runs/{run_id}")

    def eval_of_run(self, run_id: str) -> str:
        """The eval that a run belongs to. Raises ApiError where none of the newest 1,000 has it."""
        from openai import NotFoundError

        for known in self._newest_evals(_EVALS):
            try:
                self.run(known["id"], run_id)
            except NotFoundError:
                continue
            return str(known["id"])
        raise ApiError(
            f"There is no run {run_id!r}.",
            status=_NOT_FOUND,
            fix="`everloop eval list` shows the runs there are.",
        )

    def criteria(self, eval_id: str) -> list[dict[str, Any]]:
        """The testing criteria of an eval."""
        return list(self._got(f"/evals/{eval_id}")["testing_criteria"])

    def recent_runs(self, evals: int, runs: int) -> list[dict[str, Any]]:
        """The newest runs of the newest evals, newest first, each with its eval's name."""
        found: list[dict[str, Any]] = []
        for known in self._newest_evals(evals):
            newest = pages_of(self._client, f"/evals/{known['id']}/runs", {"order": "desc"}, runs)
            found += [run | {"eval_name": known.get("name")} for run in newest]
        return sorted(found, key=lambda run: -int(run["created_at"]))

    def cancel(self, eval_id: str, run_id: str) -> dict[str, Any]:
        """Cancel a run; what is done stays."""
        cancelled = self._client.evals.runs.cancel(run_id, eval_id=eval_id)
        return self._got(f"/evals/{eval_id}/runs/{cancelled.id}")

    def output_items(self, eval_id: str, run_id: str) -> list[dict[str, Any]]:
        """All output items of a run, in their order."""
        path = f"/evals/{eval_id}/runs/{run_id}/output_items"
        return sorted(pages_of(self._client, path, {"order": "asc"}), key=_number)

    def report(self, eval_id: str, run_id: str) -> Mapping[str, Any]:
        """The service's report of a run."""
        return self._got(f"/evals/{eval_id}/runs/{run_id}/report")

    def page(self, eval_id: str, run_id: str) -> str:
        """The same to read, as HTML."""
        return self._client.get(f"/evals/{eval_id}/runs/{run_id}/page", cast_to=str)

    def compare(
        self, baseline: str, candidate: str, slice_by: str | None, alpha: float | None = None
    ) -> Mapping[str, Any]:
        """Compare two runs item by item."""
        body: dict[str, Any] = {"baseline": baseline, "candidate": candidate}
        body |= {} if slice_by is None else {"slice_by": slice_by}
        body |= {} if alpha is None else {"alpha": alpha}
        found = self._client.post("/evals/comparisons", body=body, cast_to=object)
        return cast("Mapping[str, Any]", found)

    def comparison_page(self, comparison_id: str) -> str:
        """A comparison to read, as HTML."""
        return self._client.get(f"/evals/comparisons/{comparison_id}/page", cast_to=str)

    def _got(self, path: str) -> dict[str, Any]:
        """JSON as it comes: the client's own models cannot hold scores of null or our graders."""
        return cast("dict[str, Any]", self._client.get(path, cast_to=object))

    def _newest_evals(self, most: int) -> Iterator[dict[str, Any]]:
        return pages_of(self._client, "/evals", {"order": "desc"}, most)

    def _source(self, loaded: LoadedSuite, rows: Sequence[Row]) -> dict[str, Any]:
        data, given = loaded.suite.data, loaded.suite.answers.given
        if data.file_id is not None and given is None:
            return {"type": "file_id", "id": data.file_id}
        lines = uploaded_lines(rows, given)
        if len(lines) <= INLINE_BYTES:
            return source_of(rows, given)
        name = f"{loaded.path.stem}.jsonl"
        made = self._client.files.create(file=(name, lines), purpose="evals")
        return {"type": "file_id", "id": made.id}


@contextmanager
def _as_suite_error(loaded: LoadedSuite) -> Iterator[None]:
    """What the service refuses in a suite's own fields is the suite's mistake: exit code 2."""
    from openai import BadRequestError

    try:
        yield
    except BadRequestError as error:
        body = error.body if isinstance(error.body, dict) else {}
        where = f" ({body['param']})" if body.get("param") else ""
        said = body.get("message") or error.message
        raise SuiteError(f"{loaded.path} is refused by the service: {said}{where}") from error


def _number(item: Mapping[str, Any]) -> int:
    return int(item.get("datasource_item_id") or 0)
