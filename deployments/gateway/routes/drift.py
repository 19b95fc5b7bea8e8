"""`/v1/drift`."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/drift", tags=["Drift"])
