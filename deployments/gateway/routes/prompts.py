"""`/v1/prompts`."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/prompts", tags=["Prompts"])
