"""A Serve application that is ready at once, for tests of what is in front of it."""

from ray import serve
from ray.serve import Application
from starlette.requests import Request

from cluster.settings import Settings

__all__ = ["build_app"]


class Tiny:
    """Answers everything."""

    async def __call__(self, request: Request) -> str:
        return request.url.path


def build_app(_settings: Settings) -> Application:
    """In the place of `deployments.app:build_app`."""
    deployment = serve.deployment(Tiny, ray_actor_options={"num_cpus": 0})
    return deployment.bind()
