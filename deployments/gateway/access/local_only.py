"""Without keys nobody but this machine's programs is answered: no page in its browser is one.

A page that its own name server places on a loopback address (DNS rebinding) sends that name as
`Host`; a form that it posts across origins, without asking first, says where it is from.
"""

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from cluster.settings import is_loopback
from deployments.errors import Forbidden

__all__ = ["check_local"]

_LOCAL: Final = "localhost"


def check_local(headers: Headers) -> None:
    """Raise Forbidden for a request that a page from elsewhere has a browser send.

    `Host` is an address, `localhost`, or a name without a dot, which no public name server has;
    `Origin`, where there is one, is a loopback address, `localhost`, or what `Host` says. It is
    none that is IPv4 in IPv6, by which nobody opens a page.
    """
    host = headers.get("host", "")
    origin = headers.get("origin")
    if not _may_be_asked(_name_of(f"//{host}")):
        raise _refused("Host", host)
    if origin is not None and not _may_ask(origin, host):
        raise _refused("Origin", origin)


def _name_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ".."  # neither a name nor an address


def _may_be_asked(name: str) -> bool:
    if "." not in name or name.endswith(f".{_LOCAL}"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _may_ask(origin: str, host: str) -> bool:
    name = _name_of(origin)
    if name.endswith(f".{_LOCAL}") or origin.partition("://")[2] == host:
        return True
    return is_loopback(name, mapped=False)


def _refused(header: str, value: str) -> Forbidden:
    return Forbidden(
        f"{header} is {value[:128]!r}. Without keys (`access.keys: off`) only programs of this "
        "machine are answered, under its address; switch keys on to be reached by a name.",
        param=header,
        code="not_local",
    )
