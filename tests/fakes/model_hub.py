"""A small, honest stand-in for a model hub: the part of its API that push and pull use, in memory.

Files whose name ends in .safetensors or .gguf go through Git LFS, others in the commit, as on the
real one. Who reads a private repository or writes needs the token.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["TOKEN", "FakeHub", "FakeRepo", "running_fake_hub"]

TOKEN = "hf_of_this_hub"
Json = dict[str, Any]
Route = Callable[[str, bytes, bool], tuple[Any, dict[str, str]]]
"""From path, body and whether the token was right to the body and headers of the answer."""


@dataclass
class FakeRepo:
    """One branch, `main`, of one commit after another."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=lambda: ["0" * 40])

    @property
    def head(self) -> str:
        return self.commits[-1]


@dataclass
class FakeHub:
    """Its state, for tests to look at."""

    url: str = ""
    repos: dict[str, FakeRepo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    tokens_seen: set[str | None] = field(default_factory=set)

    def commit(self, repo: FakeRepo, lines: list[Json]) -> str:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo.files[value["path"]] = self.large[value["oid"]]
        repo.commits.append(hashlib.sha256(repr(repo.files).encode()).hexdigest()[:40])
        return repo.head


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, url: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.url = status, code, url


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def _answer(self, work: Route) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.tokens_seen.add(given)
        path = unquote(urlsplit(self.path).path)
        try:
            status = 200
            content, headers = work(path, body, given == TOKEN)
        except _Refused as refused:
            status, content = refused.status, {"error": str(refused), "url": refused.url}
            headers = {"X-Error-Code": refused.code, "X-Error-Message": str(refused)}
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _repo(self, name: str, known: bool) -> FakeRepo:
        found = self.hub.repos.get(name)
        if found is None or (found.private and not known):
            status = 404 if known else 401
            raise _Refused(status, "RepoNotFound", "Repository not found")
        return found

    def _at(self, repo: FakeRepo, revision: str) -> None:
        if revision not in ("main", repo.head):
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def _get(self, path: str, _body: bytes, known: bool) -> tuple[Any, dict[str, str]]:
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repo = self._repo(found[1], known)
            self._at(repo, found[2])
            content = repo.files[found[3]]
            etag = hashlib.sha256(content).hexdigest()
            return content, {"ETag": f'"{etag}"', "X-Repo-Commit": repo.head}
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        assert found, path
        repo = self._repo(found[1], known)
        self._at(repo, found[3] or "main")
        if found[2] == "tree":
            return [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in repo.files.items()
            ], {}
        return {"id": found[1], "sha": repo.head, "private": repo.private}, {}

    def _post(self, path: str, body: bytes, known: bool) -> tuple[Json, dict[str, str]]:
        if not known:
            raise _Refused(401, "", "Invalid credentials in Authorization header")
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}, {}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if asked["organization"] != "us":
                raise _Refused(403, "", "You don't have the rights to create a model there")
            if name in self.hub.repos:
                url = f"{self.hub.url}/{name}"
                raise _Refused(409, "", "You already created this model repo", url)
            private = asked.get("private", asked.get("visibility") == "private")
            self.hub.repos[name] = FakeRepo(private)
            return {"url": f"{self.hub.url}/{name}"}, {}
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            large = (".safetensors", ".gguf")
            return {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(large) else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(body)["files"]
                ]
            }, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            return {
                "transfer": "basic",
                "objects": [
                    {**o, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{o['oid']}"}}}
                    for o in objects
                ],
            }, {}
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path)
        assert found, path
        lines = [json.loads(line) for line in body.splitlines()]
        oid = self.hub.commit(self._repo(found[1], known), lines)
        url = f"{self.hub.url}/{found[1]}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url}, {}

    def _put(self, path: str, body: bytes, _known: bool) -> tuple[Json, dict[str, str]]:
        oid = path.removeprefix("/lfs/")
        if hashlib.sha256(body).hexdigest() != oid:
            raise _Refused(400, "", "The content is not what was announced")
        self.hub.large[oid] = body
        return {}, {}


@contextmanager
def running_fake_hub() -> Iterator[FakeHub]:
    """Serve on a free port of loopback."""
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
