"""Query parameters that a route does not know: a misspelt filter would leave everything."""

from fastapi import Request
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute

from deployments.errors import InvalidRequest

__all__ = ["known_parameters"]


async def known_parameters(request: Request) -> None:
    """FastAPI dependency. Raises InvalidRequest that lists what the route knows."""
    route = request.scope["route"]
    for name in request.query_params:
        if name not in (known := _known(route)):
            raise InvalidRequest(
                f"{name[:64]} is no query parameter of {route.path}; there are: "
                f"{', '.join(sorted(known))}.",
                param=name[:64],
                code="unknown_parameter",
            )


def _known(route: APIRoute) -> frozenset[str]:
    return frozenset(field.alias for field in get_flat_dependant(route.dependant).query_params)
