"""The `file_search` options: OpenAI's tool, and our additions to it."""

from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from deployments.gateway.bodies import Body, RankingOptions, Text, tree
from deployments.retriever.messages import SearchMode, SearchRequest

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

    def request(self, query: str, project_id: str, limit: int) -> SearchRequest:
        """Make the search; `limit` holds where the client named none."""
        ranking = self.ranking_options or RankingOptions()
        return SearchRequest(
            project_id=project_id,
            store_ids=tuple(dict.fromkeys(self.vector_store_ids)),
            query=query,
            limit=self.max_num_results or limit,
            filters=self.filters,
            mode=self.mode,
            rerank=False if ranking.ranker == "none" else self.rerank,
            score_threshold=ranking.score_threshold,
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
