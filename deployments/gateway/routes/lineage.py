"""`/v1/lineage`."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/lineage", tags=["Lineage"])
