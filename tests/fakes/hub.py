"""A hub on 127.0.0.1: what huggingface_hub's client asks of one, with the faults that real ones have.

Pages of models, a model's info, trees, files with ETag, commit and ranges, Git LFS digests, uploads. Nothing of the
client is replaced: it is given this address as its endpoint.
"""

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from registry.documents import yaml_of

PAGE = 3
LFS_FROM = 2000
"""Bytes from which a file counts as large; safetensors always do."""
PORTAL = b"<html><body>Welcome to the airport. Please log in.</body></html>"


@dataclass
class Repository:
    """One model repository: its commits, oldest first, each a mapping of names to content."""

    id: str
    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    downloads: int = 0
    gated: bool = False
    private: bool = False
    tags: tuple[str, ...] = ()
    large: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes that it states of files, where they have others."""

    @property
    def head(self) -> str:
        return [*self.commits][-1]

    @property
    def files(self) -> Mapping[str, bytes]:
        return self.commits[self.head]

    def commit(self, files: Mapping[str, bytes]) -> str:
        """A new commit with these files and no others; its name."""
        number = f"{self.id} {len(self.commits)}".encode()
        name = hashlib.sha1(number, usedforsecurity=False).hexdigest()
        self.commits[name] = dict(files)
        return name

    def at(self, revision: str) -> str | None:
        """The commit that a revision names."""
        return self.head if revision == "main" else revision if revision in self.commits else None


@dataclass
class Fault:
    """What goes wrong: ``kind`` for as many requests whose path matches as ``times`` says; -1 is for always."""

    kind: str
    where: str
    times: int = -1
    after: int = 0
    """Bytes of a file that still come, where it is cut or slow."""


class FakeHub:
    """The hub; `served` gives one that listens."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
        self.address = ""
        self.elsewhere = "http://localhost:9"
        self.token: str | None = None
        """Where there is one, gated repositories and uploads want it."""
        self.closing = threading.Event()

    def add(self, id: str, folder: Path | Mapping[str, bytes], **more: Any) -> Repository:
        """A repository with the files of a folder as its first commit; a data set's id begins with ``datasets/``."""
        files = _files(folder) if isinstance(folder, Path) else folder
        repository = Repository(id, **more)
        repository.commit(files)
        self.repositories[id] = repository
        return repository

    def fail(self, kind: str, where: str = "", *, times: int = -1, after: int = 0) -> None:
        """Have requests fail whose path contains ``where`` (a regular expression).

        ``kind``: a status (401, 403, 404, 429, 500), cut, flip, late, slow, hang, html or elsewhere.
        """
        self.faults.append(Fault(kind, where, times, after))

    def rename(self, old: str, new: str) -> None:
        """Give a repository another id; the old one leads there."""
        repository = self.repositories.pop(old)
        repository.id = new
        self.repositories[new] = repository
        self.renamed[old] = new

    def paths_of(self, pattern: str) -> list[str]:
        """Paths of the requests so far that match."""
        return [path for _, path, _ in self.requests if re.search(pattern, path)]


@contextmanager
def served() -> Iterator[FakeHub]:
    """A hub that listens on 127.0.0.1 while this lasts."""
    hub = FakeHub()
    server = _Server(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def the_only_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[FakeHub]:
    """A hub that is served and taken for the only one there is, with a cache of its own and no token."""
    with served() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HOME", str(cache))
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("TRANSFERZOO_HUB_SECONDS", "60")
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE", "TRANSFERZOO_HUB_HOSTS", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        yield hub


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have left."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob_id(content: bytes) -> str:
    """The name that Git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _is_large(repository: Repository, name: str, content: bytes) -> bool:
    return name in repository.large or name.endswith((".safetensors", ".bin")) or len(content) > LFS_FROM


def _entry(repository: Repository, name: str, content: bytes) -> dict[str, Any]:
    size = repository.sizes.get(name, len(content))
    entry: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": blob_id(content)}
    if _is_large(repository, name, content):
        entry["lfs"] = {"oid": sha256(content), "size": size, "pointerSize": 130}
    return entry


def _card(files: Mapping[str, bytes]) -> dict[str, Any]:
    text = files.get("README.md", b"").decode(errors="replace")
    if not text.startswith("---"):
        return {}
    try:
        result = yaml_of(text.split("\n---", 1)[0].removeprefix("---"))
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}


def _config(files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        record = json.loads(files.get("config.json", b"{}"))
    except ValueError:
        return {}
    return {key: record[key] for key in ("architectures", "model_type", "quantization_config") if key in record}


def _safetensors(files: Mapping[str, bytes]) -> dict[str, Any] | None:
    counts: dict[str, int] = {}
    for name, content in files.items():
        if name.endswith(".safetensors"):
            try:
                header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            except (ValueError, RecursionError):
                return None
            if not all(isinstance(tensor, dict) for tensor in header.values()):
                return None
            for tensor in (header[key] for key in header if key != "__metadata__"):
                count = 1
                for side in tensor["shape"]:
                    count *= side
                counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + count
    return {"parameters": counts, "total": sum(counts.values())} if counts else None


def _info(repository: Repository, commit: str, *, files: bool = True) -> dict[str, Any]:
    content = repository.commits[commit]
    card = _card(content)
    tags = [*repository.tags, *([f"license:{card['license']}"] if isinstance(card.get("license"), str) else [])]
    body: dict[str, Any] = {
        "id": repository.id.removeprefix("datasets/"),
        "modelId": repository.id,
        "author": repository.id.removeprefix("datasets/").split("/", maxsplit=1)[0],
        "sha": commit,
        "downloads": repository.downloads,
        "likes": 0,
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "tags": tags,
        "pipeline_tag": card.get("pipeline_tag", "image-classification"),
        "library_name": card.get("library_name", "transformers"),
        "cardData": card,
        "config": _config(content),
    }
    if files:
        body["siblings"] = [{"rfilename": name} for name in content]
    if (counted := _safetensors(content)) is not None:
        body["safetensors"] = counted
    return body


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Be silent."""

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            hub.requests.append((self.command, self.path, dict(self.headers)))
            self.body = self._read()
            fault = self._fault()
            if fault is not None and self._failed(fault):
                return
            self.fault = fault
            split = urlsplit(self.path)
            path, self.query = unquote(split.path), parse_qs(split.query)
            for pattern, work in ROUTES:
                match = re.fullmatch(pattern, path)
                if match is not None:
                    work(self, *match.groups())
                    return
            self._status(404, "EntryNotFound")

        def _read(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _fault(self) -> Fault | None:
            for fault in hub.faults:
                if fault.times and re.search(fault.where, self.path):
                    if fault.kind in {"cut", "flip", "late", "slow"} and self.command != "GET":
                        continue
                    fault.times -= fault.times > 0
                    return fault
            return None

        def _failed(self, fault: Fault) -> bool:
            """Answer as the fault has it; False where it only spoils a file."""
            match fault.kind:
                case "401":
                    self._status(401, "RepoNotFound")
                case "403":
                    self._status(403, "GatedRepo")
                case "404":
                    self._status(404, "RepoNotFound")
                case "429":
                    self._status(429, None, {"Retry-After": "1"})
                case "500":
                    self._status(500)
                case "hang":
                    hub.closing.wait(60)
                    self.close_connection = True
                case "html":
                    self._send(200, PORTAL, {"Content-Type": "text/html"})
                case "elsewhere" if "/resolve/" not in self.path:
                    self._status(302, None, {"Location": hub.elsewhere + self.path})
                case _:
                    return False
            return True

        def _status(self, status: int, code: str | None = None, headers: Mapping[str, str] | None = None) -> None:
            more = {"X-Error-Code": code} if code else {}
            self._send(status, b"" if status < 400 else b'{"error": "as asked for"}', {**more, **(headers or {})})

        def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _json(self, body: object, headers: Mapping[str, str] | None = None) -> None:
            self._send(200, json.dumps(body).encode(), headers)

        def _repository(self, id: str) -> Repository | None:
            """The repository, or None after that was answered."""
            if id in hub.renamed:
                self._status(307, None, {"Location": quote(self.path.replace(id, hub.renamed[id], 1), safe="/?=&%")})
                return None
            repository = hub.repositories.get(id)
            if repository is None or (repository.private and not self._allowed()):
                self._status(404 if self._allowed() and hub.token else 401, "RepoNotFound")
                return None
            return repository

        def _allowed(self) -> bool:
            return hub.token is None or self.headers.get("Authorization") == f"Bearer {hub.token}"

        def _at(self, repository: Repository, revision: str) -> str | None:
            commit = repository.at(revision)
            if commit is None:
                self._status(404, "RevisionNotFound")
            return commit

        def models(self) -> None:
            results = [repository for repository in hub.repositories.values() if self._wanted(repository)]
            if self.query.get("sort") == ["downloads"]:
                results.sort(key=lambda repository: -repository.downloads)
            start = int(self.query.get("cursor", ["0"])[0])
            page = results[start : start + PAGE]
            rest = {}
            if len(results) > start + PAGE:
                others = "&".join(part for part in urlsplit(self.path).query.split("&") if "cursor=" not in part)
                rest = {"Link": f'<{hub.address}/api/models?{others}&cursor={start + PAGE}>; rel="next"'}
            self._json([_info(repository, repository.head) for repository in page], rest)

        def _wanted(self, repository: Repository) -> bool:
            words = self.query.get("search", [""])[0].casefold()
            info = _info(repository, repository.head)
            tags = {*info["tags"], info["pipeline_tag"], info["library_name"]}
            task = self.query.get("pipeline_tag", [info["pipeline_tag"]])[0]
            filters = {one for many in self.query.get("filter", []) for one in many.split(",")}
            return words in repository.id.casefold() and task == info["pipeline_tag"] and filters <= tags

        def info(self, id: str, revision: str = "main") -> None:
            repository = self._repository(id)
            if repository is not None and (commit := self._at(repository, revision)) is not None:
                self._json(_info(repository, commit))

        def tree(self, id: str, revision: str) -> None:
            repository = self._repository(id)
            if repository is not None and (commit := self._at(repository, revision)) is not None:
                self._json([_entry(repository, name, content) for name, content in repository.commits[commit].items()])

        def paths(self, id: str, revision: str) -> None:
            repository = self._repository(id)
            if repository is not None and (commit := self._at(repository, revision)) is not None:
                named = json.loads(self.body)["paths"] if self.body.startswith(b"{") else parse_qs(self.body)["paths"]
                files = repository.commits[commit]
                self._json([_entry(repository, name, files[name]) for name in named if name in files])

        def resolve(self, id: str, revision: str, name: str) -> None:
            repository = self._repository(id)
            if repository is None or (commit := self._at(repository, revision)) is None:
                return
            if repository.gated and (hub.token is None or not self._allowed()):
                self._status(403, "GatedRepo")
                return
            content = repository.commits[commit].get(name)
            if content is None:
                self._status(404, "EntryNotFound", {"X-Repo-Commit": commit})
                return
            large = _is_large(repository, name, content)
            tag = sha256(content) if large else blob_id(content)
            self._file(content, {"ETag": f'"{tag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"})

        def _file(self, content: bytes, headers: Mapping[str, str]) -> None:
            requested = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            total, start, status = len(content), 0, 200
            fault = self.fault
            if fault is not None and fault.kind == "elsewhere":
                linked = {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(total)}
                self._status(302, None, {**headers, **linked, "Location": hub.elsewhere + self.path})
                return
            if fault is not None and fault.kind == "late":
                hub.closing.wait(0.7)
            if fault is not None and fault.kind == "flip" and content:
                at = len(content) - 1
                content = content[:at] + bytes([content[at] ^ 1])
            if requested is not None:
                start = int(requested[1])
                end = min(int(requested[2]), total - 1) if requested[2] else total - 1
                if start > end:
                    self._status(416)
                    return
                content, status = content[start : end + 1], 206
                headers = {**headers, "Content-Range": f"bytes {start}-{end}/{total}"}
            if fault is None or fault.kind in {"flip", "late"} or self.command == "HEAD":
                self._send(status, content, headers)
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: fault.after])
            self.wfile.flush()
            if fault.kind == "slow":
                for place in range(fault.after, len(content)):
                    if hub.closing.wait(0.5):
                        break
                    self.wfile.write(content[place : place + 1])
                    self.wfile.flush()
            self.close_connection = True

        def create(self) -> None:
            if hub.token is None or not self._allowed():
                self._status(401)
                return
            requested = json.loads(self.body)
            id = f"{requested.get('organization', 'me')}/{requested['name']}"
            if id in hub.repositories:
                self._send(409, json.dumps({"url": f"{hub.address}/{id}"}).encode())
                return
            repository = Repository(
                id, private=bool(requested.get("private")) or requested.get("visibility") == "private"
            )
            repository.commit({})
            hub.repositories[id] = repository
            self._json({"url": f"{hub.address}/{id}", "name": id})

        def preupload(self, id: str, revision: str) -> None:
            repository = self._repository(id)
            if repository is not None and self._at(repository, revision) is not None:
                modes = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(self.body)["files"]
                ]
                self._json({"files": modes})

        def batch(self, id: str) -> None:
            requested = json.loads(self.body)["objects"]
            actions = [
                {
                    **one,
                    "authenticated": True,
                    "actions": {"upload": {"href": f"{hub.address}/lfs/{one['oid']}", "header": {}}},
                }
                for one in requested
            ]
            self._json({"transfer": "basic", "objects": actions})

        def put(self, oid: str) -> None:
            if sha256(self.body) != oid:
                self._status(400)
                return
            hub.objects[oid] = self.body
            self._send(200, b"")

        def commit(self, id: str, revision: str) -> None:
            repository = self._repository(id)
            if repository is None or self._at(repository, revision) is None:
                return
            files = dict(repository.files)
            for line in self.body.splitlines():
                order = json.loads(line)
                if order["key"] == "file":
                    files[order["value"]["path"]] = base64.b64decode(order["value"]["content"])
                elif order["key"] == "lfsFile":
                    files[order["value"]["path"]] = hub.objects[order["value"]["oid"]]
            name = repository.commit(files)
            url = f"{hub.address}/{id}/commit/{name}"
            self._json({"success": True, "commitOid": name, "commitUrl": url, "hookOutput": ""})

        def validated(self) -> None:
            self._json({"errors": [], "warnings": []})

    ROUTES = [
        (r"/api/models", Handler.models),
        (r"/api/(datasets/[\w.-]+/[\w.-]+)", Handler.info),
        (r"/api/(datasets/[\w.-]+/[\w.-]+)/revision/(.+)", Handler.info),
        (r"/api/(datasets/[\w.-]+/[\w.-]+)/tree/([^/]+)", Handler.tree),
        (r"/api/(datasets/[\w.-]+/[\w.-]+)/paths-info/(.+)", Handler.paths),
        (r"/(datasets/[\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", Handler.resolve),
        (r"/api/models/([\w.-]+/[\w.-]+)", Handler.info),
        (r"/api/models/([\w.-]+/[\w.-]+)/revision/(.+)", Handler.info),
        (r"/api/models/([\w.-]+/[\w.-]+)/tree/([^/]+)", Handler.tree),
        (r"/api/models/([\w.-]+/[\w.-]+)/paths-info/(.+)", Handler.paths),
        (r"/api/models/([\w.-]+/[\w.-]+)/preupload/(.+)", Handler.preupload),
        (r"/api/models/([\w.-]+/[\w.-]+)/commit/(.+)", Handler.commit),
        (r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", Handler.resolve),
        (r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", Handler.batch),
        (r"/lfs/([0-9a-f]{64})", Handler.put),
        (r"/api/repos/create", Handler.create),
        (r"/api/validate-yaml", Handler.validated),
    ]
    return Handler
