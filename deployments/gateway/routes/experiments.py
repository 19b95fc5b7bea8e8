"""`/v1/experiments`."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/experiments", tags=["Experiments"])
