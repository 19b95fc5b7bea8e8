"""`/v1/projects`: projects: whose everything is."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/projects", tags=["Projects"])
