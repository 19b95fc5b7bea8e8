"""The `file_search` options: OpenAI's tool, and our additions to it."""

from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from deployments.gateway.bodies import Body, RankingOptions, Text, tree
from deployments.retriever.messages import SearchMode, SearchRequest
from deployments.serving import Retrieval

__all__ = ["FileSearch", "parse_file_search"]


class FileSearch(Body):
    """Which stores are searched, and how. `mode` and `rerank` are our additions."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    vector_store_ids: tuple[Annotated[Text, Field(min_length=1, max_length=64)], ...] = Field(
        min_length=1, max_length=10
    )
    """The stores to search together."""
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    """Passages to find; `grounding.max_passages` where absent."""
    filters: Annotated[dict[str, Any], AfterValidator(tree)] | None = None
    """OpenAI's filter grammar over the files' attributes."""
    ranking_options: RankingOptions | None = None
    mode: SearchMode | None = None
    rerank: bool | None = None

    def fewer(self, most: int) -> "FileSearch":
        """The same search for at most `most` passages, without reranking."""
        wanted = min(most, self.max_num_results or most)
        return self.model_copy(update={"max_num_results": wanted, "rerank": False})

    def limit(self, default: int, chosen: Retrieval) -> int:
        """Passages to find: the client's word, else the choice's, else `default`."""
        return self.max_num_results or chosen.max_num_results or default

    def request(
        self,
        query: str,
        project_id: str,
        limit: int,
        chosen: Retrieval,
        deadline_s: float | None = None,
    ) -> SearchRequest:
        """Make the search; `chosen`, then `limit`, hold where the client named nothing."""
        ranking = self.ranking_options or RankingOptions()
        rerank = chosen.rerank if self.rerank is None else self.rerank
        threshold = ranking.score_threshold
        if "score_threshold" not in ranking.model_fields_set and chosen.score_threshold is not None:
            threshold = chosen.score_threshold
        return SearchRequest(
            project_id=project_id,
            store_ids=tuple(dict.fromkeys(self.vector_store_ids)),
            query=query,
            limit=self.limit(limit, chosen),
            filters=self.filters,
            mode=self.mode or chosen.mode,
            rerank=False if ranking.ranker == "none" else rerank,
            score_threshold=threshold,
            deadline_s=deadline_s,
        )


def parse_file_search(body: dict[str, Any]) -> FileSearch:
    """Read `body["file_search"]`. Raises RequestValidationError, which becomes a 400."""
    try:
        return FileSearch.model_validate(body["file_search"])
    except ValidationError as error:
        problems = [
            {**problem, "loc": ("body", "file_search", *problem["loc"])}
            for problem in error.errors()
        ]
        raise RequestValidationError(problems, body=body) from error
