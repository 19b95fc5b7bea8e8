import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import pytest

from ingestion.errors import FetchError
from ingestion.fetch import FetchedPage, fetch_url, is_public

NAME_WITH_A_PATH = "attachment; filename*=UTF-8''..%2F..%2Fgr%C3%B6%C3%9Fe.csv"


class Site(BaseHTTPRequestHandler):
    """A small site with every behaviour that the fetcher must cope with."""

    stop = threading.Event()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/redirect/"):
            self._answer(302, b"", Location=f"/redirect/{int(path.rsplit('/', 1)[1]) - 1}")
        elif path == "/once":
            self._answer(301, b"", Location="/guide.html")
        elif path == "/away":
            self._answer(302, b"", Location="http://10.1.2.3/secret")
        elif path == "/file":
            self._answer(302, b"", Location="file:///etc/passwd")
        elif path == "/slow":
            self.send_response(200)
            self.end_headers()
            while not self.stop.wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            while not self.stop.is_set():
                self.wfile.write(b"x" * 65_536)
        elif path == "/gone":
            self._answer(404, b"no")
        elif path == "/paper":
            self._answer(200, b"%PDF-", **{"Content-Type": "application/pdf"})
        elif path == "/attached":
            self._answer(
                200,
                b"a,b",
                **{
                    "Content-Type": "text/csv; charset=utf-8",
                    "Content-Disposition": NAME_WITH_A_PATH,
                },
            )
        elif path == "/host":
            self._answer(200, self.headers["Host"].encode(), **{"Content-Type": "text/plain"})
        else:
            self._answer(200, b"<html>hi</html>", **{"Content-Type": "text/html"})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    Site.stop.clear()
    with QuietServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        Site.stop.set()
        server.shutdown()


def fetch(
    url: str, *, timeout_s: float = 10, max_bytes: int = 1000, private: bool = True
) -> FetchedPage:
    return fetch_url(url, timeout_s=timeout_s, max_bytes=max_bytes, allow_private=private)


def test_a_page_comes_with_name_type_and_final_url(site: str) -> None:
    page = fetch(f"{site}/once")
    assert page == FetchedPage(b"<html>hi</html>", "guide.html", "text/html", f"{site}/guide.html")


@pytest.mark.parametrize(
    ("path", "filename"),
    [
        ("/paper", "paper.pdf"),
        ("/attached", "größe.csv"),
        ("/a/b/page?x=1.pdf", "page.html"),
        ("/1706.03762", "1706.03762.html"),
        ("/%2e%2e%2fetc%2fpasswd", "passwd.html"),
        ("/", "127.0.0.1.html"),
    ],
)
def test_filename(site: str, path: str, filename: str) -> None:
    assert fetch(site + path).filename == filename


def test_the_host_header_carries_the_name(site: str) -> None:
    port = site.rsplit(":", 1)[1]
    assert fetch(f"http://localhost:{port}/host").data.decode() == f"localhost:{port}"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/redirect/99", "redirects more than 5 times"),
        ("/gone", "status 404"),
        ("/endless", "larger than 1000 bytes"),
        ("/file", "not an http or https URL"),
    ],
)
def test_refused_answers(site: str, path: str, said: str) -> None:
    with pytest.raises(FetchError, match=said):
        fetch(site + path)


def test_a_declared_size_is_refused_before_the_body(site: str) -> None:
    with pytest.raises(FetchError, match="larger than 3 bytes"):
        fetch(f"{site}/guide.html", max_bytes=3)


def test_a_dripping_server_is_cut_off_by_the_total_time(site: str) -> None:
    with pytest.raises(FetchError, match=r"within 0\.5 s"):
        fetch(f"{site}/slow", timeout_s=0.5)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "nonsense",
        "http://[::1",
    ],
)
def test_other_schemes_and_broken_urls(url: str) -> None:
    with pytest.raises(FetchError):
        fetch(url)


@pytest.mark.parametrize("port", [22, 25, 53, 389, 587])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(FetchError, match=f"Port {port} of '127.0.0.1' belongs"):
        fetch(f"http://127.0.0.1:{port}/")


def test_credentials_in_the_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(FetchError) as caught:
        fetch("http://ada:secret@127.0.0.1/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "0.0.0.0", "10.0.0.1", "192.168.1.1",  # noqa: S104 - refused
        "169.254.169.254", "2130706433", "017700000001", "0177.0.0.1", "127.1", "0",
        "0x7f.1", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1]", "[fd00::1]",
        "[64:ff9b::7f00:1]",
    ],
)  # fmt: skip
def test_private_hosts_are_refused(host: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address|cannot be found|Invalid IPv4"):
        fetch(f"http://{host}:8009/", private=False)


def resolve_as(monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[str]]) -> list[str]:
    """Make names resolve to `answers`; returns the list of names that were asked for."""
    asked = []
    real = socket.getaddrinfo

    async def getaddrinfo(self: Any, host: str, port: int, **kwargs: Any) -> Any:
        asked.append(host)
        given = answers.get(host, [host])
        return [
            entry for address in given for entry in real(address, port, type=kwargs.get("type", 0))
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_as(monkeypatch, {"mixed.example": ["93.184.216.34", "127.0.0.1"]})
    with pytest.raises(FetchError, match=r"127\.0\.0\.1, which is not a public"):
        fetch("http://mixed.example/", private=False)


def test_a_redirect_to_a_private_address_is_refused(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ingestion.fetch.is_public", lambda address: not str(address).startswith("10.")
    )
    with pytest.raises(FetchError, match=r"10\.1\.2\.3, which is not a public"):
        fetch(f"{site}/away", private=False)


def test_the_name_is_looked_up_once_and_the_checked_address_is_used(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_as(monkeypatch, {"pinned.example": ["127.0.0.1"]})
    port = site.rsplit(":", 1)[1]
    assert fetch(f"http://pinned.example:{port}/host").data.decode() == f"pinned.example:{port}"
    assert asked.count("pinned.example") == 1


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("2002:7f00:1::", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("ff02::1", False),
        ("::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public
