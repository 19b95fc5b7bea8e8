"""`/v1/moderations`: what the guards think of a text."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/moderations", tags=["Moderations"])
