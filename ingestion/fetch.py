"""Fetching a page from the web, so that a URL given by a stranger reaches public addresses only."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingestion.errors import FetchError
from ingestion.loaders.formats import FORMATS_BY_EXTENSION, Format

if TYPE_CHECKING:
    import httpx

__all__ = ["FetchedPage", "fetch_url", "is_public"]

MAX_REDIRECTS = 5
_LONGEST_NAME = 200
_FIRST_FREE_PORT = 1024
_HEADERS = {"User-Agent": "everloop", "Accept": "*/*", "Accept-Encoding": "identity"}
_NAT64 = ip_network("64:ff9b::/96")
_EXTENSIONS: dict[str, str] = {
    Format.PDF: ".pdf",
    Format.DOCX: ".docx",
    Format.PPTX: ".pptx",
    Format.XLSX: ".xlsx",
    Format.EPUB: ".epub",
    Format.HTML: ".html",
    "application/xhtml+xml": ".html",
    Format.MARKDOWN: ".md",
    Format.TEXT: ".txt",
    Format.CSV: ".csv",
    Format.TSV: ".tsv",
    Format.JSON: ".json",
    Format.JSONL: ".jsonl",
    "application/jsonl": ".jsonl",
    Format.EMAIL: ".eml",
    Format.NOTION: ".zip",
}


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """What a URL gave."""

    data: bytes
    filename: str
    """A bare name with an extension that fits the content type; never a path."""
    mime: str
    final_url: str


def fetch_url(
    url: str, *, timeout_s: float, max_bytes: int, allow_private: bool = False
) -> FetchedPage:
    """Fetch `url` within `timeout_s` in all. It blocks: call it in a thread of its own.

    Raises `FetchError`: not http(s), a host that resolves to a loopback, private, link-local,
    reserved or multicast address (unless `allow_private`), also after a redirect; a port of
    another service; more than
    `max_bytes` or `MAX_REDIRECTS`; no answer in time; a status other than 200.
    """
    return asyncio.run(_fetch_in_time(url, timeout_s, max_bytes, allow_private))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether `address`, and any IPv4 address that it carries, is on the public internet."""
    if isinstance(address, IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(inner) for inner in carried if inner is not None):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast and not address.is_reserved


async def _fetch_in_time(
    url: str, timeout_s: float, max_bytes: int, allow_private: bool
) -> FetchedPage:
    try:
        async with asyncio.timeout(timeout_s):
            return await _fetch(url, timeout_s, max_bytes, allow_private)
    except TimeoutError as error:
        raise FetchError(
            f"{url!r} did not answer within {timeout_s:g} s.",
            fix="Raise ingestion.url_timeout_s for slow sites.",
        ) from error


async def _fetch(url: str, timeout_s: float, max_bytes: int, allow_private: bool) -> FetchedPage:
    import httpx

    try:
        target = httpx.URL(url)
        # No proxy from the environment: it would resolve the name itself, unchecked.
        async with httpx.AsyncClient(
            timeout=timeout_s, trust_env=False, headers=_HEADERS
        ) as client:
            for _ in range(MAX_REDIRECTS + 1):
                async with _response(client, target, allow_private) as response:
                    if not response.has_redirect_location:
                        return await _page(response, target, max_bytes)
                    target = target.join(response.headers["Location"])
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise FetchError(
            f"{url!r} could not be fetched: {error or type(error).__name__}."
        ) from error
    raise FetchError(f"{url!r} redirects more than {MAX_REDIRECTS} times.")


@asynccontextmanager
async def _response(
    client: "httpx.AsyncClient", url: "httpx.URL", allow_private: bool
) -> "AsyncIterator[httpx.Response]":
    """Send one request to an address that was checked, so that a second lookup cannot differ."""
    address = await _checked_address(url, allow_private)
    request = client.build_request(
        "GET",
        url.copy_with(host=str(address)),
        headers={"Host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )
    response = await client.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


async def _checked_address(url: "httpx.URL", allow_private: bool) -> IPv4Address | IPv6Address:
    if url.scheme not in ("http", "https") or not url.host:
        raise FetchError(f"{str(url)!r} is not an http or https URL.")
    if url.port is not None and url.port < _FIRST_FREE_PORT and url.port not in (80, 443):
        raise FetchError(
            f"Port {url.port} of {url.host!r} belongs to another service than the web."
        )
    if url.userinfo:
        raise FetchError("The URL carries a user name or password; only open pages are fetched.")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            url.raw_host.decode("ascii"), url.port or 0, type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise FetchError(f"The host {url.host!r} cannot be found: {error}.") from error
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    refused = [address for address in addresses if not is_public(address)]
    if refused and not allow_private:
        raise FetchError(
            f"{url.host!r} is at {refused[0]}, which is not a public address.",
            fix="Set ingestion.allow_private_urls to fetch from your own network.",
        )
    return addresses[0]


async def _page(response: "httpx.Response", url: "httpx.URL", max_bytes: int) -> FetchedPage:
    if response.status_code != 200:
        raise FetchError(f"{str(url)!r} answered with status {response.status_code}.")
    declared = response.headers.get("Content-Length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(url, max_bytes)
    data = bytearray()
    async for block in response.aiter_bytes():
        data += block
        if len(data) > max_bytes:
            raise _too_large(url, max_bytes)
    header = EmailMessage()
    header["Content-Type"] = response.headers.get("Content-Type") or "application/octet-stream"
    mime = header.get_content_type()
    disposition = response.headers.get("Content-Disposition", "")
    return FetchedPage(bytes(data), _filename(url, disposition, mime), mime, str(url))


def _too_large(url: "httpx.URL", max_bytes: int) -> FetchError:
    return FetchError(
        f"{str(url)!r} is larger than {max_bytes} bytes.", fix="Raise ingestion.url_max_bytes."
    )


def _filename(url: "httpx.URL", disposition: str, mime: str) -> str:
    """Return the name that the server gives, or the URL's last part, or its host."""
    header = EmailMessage()
    if disposition:
        header["Content-Disposition"] = disposition
    given = header.get_filename() or unquote(url.path)
    name = PurePosixPath(given.replace("\\", "/")).name
    name = "".join(character for character in name if character.isprintable()).strip(". ")
    name = name or url.host
    extension = _EXTENSIONS.get(mime, "")
    known = FORMATS_BY_EXTENSION.get(PurePosixPath(name).suffix.lower())
    if known is None:
        return name[: _LONGEST_NAME - len(extension)] + extension
    return name[-_LONGEST_NAME:]
