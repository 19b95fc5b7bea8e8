"""`/v1/feedback`."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/feedback", tags=["Feedback"])
