"""`/v1/keys`: aPI keys: made, listed, revoked."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/keys", tags=["Keys"])
