"""`/v1/audit`: the audit log: who changed what."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/v1/audit", tags=["Audit"])
