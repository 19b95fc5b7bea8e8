"""`/v1/alerts`."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/alerts", tags=["Alerts"])
