"""A served model as the ChatCaller of a judge, without the gateway, which would guard it again."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from cluster.errors import ApiError
from deployments.errors import RequestError
from deployments.gateway.closing import close_parts
from deployments.model.messages import ModelCall
from deployments.ports import ChatModel

__all__ = ["ServedCaller"]


class ServedCaller:
    """Asks one model, each time by a new name."""

    def __init__(self, model: ChatModel, timeout_s: float, name: Callable[[], str]) -> None:
        """`name`: the id of the next call."""
        self._model: Final = model
        self._timeout_s: Final = timeout_s
        self._name: Final = name

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """See ChatCaller."""
        parts = self._model.generate(ModelCall("chat", dict(body), self._name(), self._timeout_s))
        try:
            answer = json.loads(b"".join([part.data async for part in parts]))
        except RequestError as error:
            raise ApiError(error.message, status=error.status) from error
        except ValueError as error:
            raise ApiError(f"The judge's answer is no JSON: {error}.", status=502) from error
        finally:
            await close_parts(parts)
        if not isinstance(answer, Mapping):
            raise ApiError("The judge's answer is no JSON object.", status=502)
        return answer
