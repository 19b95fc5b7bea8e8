"""Checks of who can listen in, and of who can reach what is for this machine only."""

import stat
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cluster.doctor.check import Check
from cluster.errors import SettingsError
from cluster.settings import Settings, is_loopback
from cluster.tls import certificate_ends_at

__all__ = ["check_certificate", "check_front"]

_DAY_S: Final = 86_400
_SOON_DAYS: Final = 14


def check_certificate(settings: Settings) -> Check:
    """Serve the certificate to a client of our own, as the HTTP front would."""
    tls = settings.tls
    if tls.certificate is None or tls.key is None:
        return Check("tls", "ok", "off")
    try:
        ends = certificate_ends_at(
            tls.certificate, tls.key, tls.authority, _asked_for(settings.base_url)
        )
    except SettingsError as error:
        return Check("tls", "fail", error.message, error.fix)
    if others := _readers(tls.key):
        return Check(
            "tls",
            "fail",
            f"tls.key {tls.key} can be read by {others}",
            f"chmod 600 {tls.key}",
        )
    days = (ends - time.time()) / _DAY_S
    found = f"the certificate is good for {days:.0f} more days"
    if days < _SOON_DAYS:
        return Check("tls", "warn", found, "Renew it, then `everloop down` and `everloop up`.")
    return Check("tls", "ok", found)


def check_front(settings: Settings) -> Check:
    """Look for keys and answers that travel in the clear."""
    host = settings.http.host
    if settings.tls.certificate is None and not is_loopback(host):
        return Check(
            "http front",
            "warn",
            f"listens on {host} without TLS: keys and answers can be read on their way",
            "Set tls.certificate and tls.key, or put a proxy with TLS before it on this machine.",
        )
    return Check("http front", "ok", f"listens on {host}")


def _asked_for(base_url: str) -> str:
    return urlsplit(base_url).hostname or ""


def _readers(path: Path) -> str:
    mode = path.stat().st_mode
    if mode & stat.S_IROTH:
        return "everybody"
    return "its group" if mode & stat.S_IRGRP else ""
