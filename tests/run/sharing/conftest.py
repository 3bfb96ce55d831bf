"""A hub on this machine: the HTTP that the hub's client speaks, with repositories in memory."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub")

TOKEN = "hf_of_ada"


class Repo:
    """A repository: what each commit holds, and which commit each name stands for."""

    def __init__(self, private):
        self.private = private
        self.commits = {}
        self.names = {}
        self.commit({}, [])

    def commit(self, added, deleted):
        files = {**self.files(), **added}
        files = {name: content for name, content in files.items() if name not in deleted}
        text = repr((len(self.commits), sorted(files.items()))).encode()
        oid = hashlib.sha1(text).hexdigest()
        self.commits[oid] = files
        self.names["main"] = oid
        return oid

    def resolved(self, revision):
        return self.names.get(revision, revision if revision in self.commits else None)

    def files(self, revision="main"):
        return self.commits.get(self.resolved(revision), {})


class Hub(ThreadingHTTPServer):
    """The server; `requests` holds the method and path of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos, self.objects, self.requests = {}, {}, []
        self.failing = None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/(?P<revision>[^/]+)", "commit"),
        ("POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/upload/(?P<oid>\w+)", "upload"),
        ("GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+).*", "tree"),
        ("GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/revision/(?P<revision>[^/]+)", "info"),
        ("GET", r"/api/models/(?P<repo>[^/]+/[^/]+)", "info"),
        ("GET", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)", "file"),
    )

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_any("GET")

    def do_HEAD(self):
        self.handle_any("GET")

    def do_POST(self):
        self.handle_any("POST")

    def do_PUT(self):
        self.handle_any("PUT")

    def handle_any(self, method):
        self.body = self.read_body()
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, path))
        if self.server.failing:
            return self.answer(self.server.failing, {"error": "down"})
        for wanted, pattern, name in self.routes:
            if method == wanted and (found := re.fullmatch(pattern, path)):
                return self.routed(name, **found.groupdict())
        return self.answer(404, {"error": f"no route {path}"})

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    @property
    def knows_ada(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def routed(self, name, repo=None, revision="main", **parts):
        writes = name in ("create", "preupload", "commit", "batch")
        if writes and not self.knows_ada:
            return self.answer(401, {"error": "Invalid username or password."})
        if repo is None:
            return getattr(self, name)(**parts)
        found = self.server.repos.get(repo)
        if found is None or (found.private and not self.knows_ada):
            code = 404 if self.knows_ada else 401
            return self.answer(code, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})
        oid = found.resolved(revision)
        if oid is None:
            return self.answer(404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
        return getattr(self, name)(name_of=repo, repo=found, oid=oid, **parts)

    def create(self):
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"{self.server.url}/{name}"}
        if name in self.server.repos:
            return self.answer(409, {**url, "error": "You already created this model repo"})
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repos[name] = Repo(private)
        return self.answer(200, url)

    def validate(self):
        self.answer(200, {"errors": [], "warnings": []})

    def preupload(self, **_):
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.answer(200, {"files": files})

    def batch(self, **_):
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/upload/{one['oid']}"}}}
            for one in json.loads(self.body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.server.objects[oid] = self.body
        self.answer(200, {})

    def commit(self, name_of, repo, **_):
        added, deleted = {}, []
        for line in self.body.splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "file":
                added[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                added[value["path"]] = self.server.objects[value["oid"]]
            elif key == "deletedFile":
                deleted.append(value["path"])
        oid = repo.commit(added, deleted)
        url = f"{self.server.url}/{name_of}/commit/{oid}"
        self.answer(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def info(self, name_of, repo, oid):
        siblings = [{"rfilename": name} for name in repo.files(oid)]
        facts = {"id": name_of, "modelId": name_of, "sha": oid, "private": repo.private}
        self.answer(200, {**facts, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def tree(self, repo, oid, **_):
        entries = [
            {
                "type": "file",
                "path": name,
                "size": len(content),
                "oid": hashlib.sha1(content).hexdigest(),
            }
            for name, content in repo.files(oid).items()
        ]
        self.answer(200, entries)

    def file(self, repo, oid, file, **_):
        content = repo.files(oid).get(file)
        if content is None:
            return self.answer(404, {"error": "no"}, {"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha1(content).hexdigest()
        head = {"X-Repo-Commit": oid, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        return self.send(200, content, "application/octet-stream", head)

    def answer(self, code, document, headers=None):
        content = json.dumps(document).encode()
        self.send(code, content, "application/json", headers or {})

    def send(self, code, content, kind, headers):
        self.send_response(code)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")  # a server that is stopped answers nobody
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The hub, a cache of its own, and Ada logged in."""
    from huggingface_hub import constants

    server = Hub()
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    yield server
    server.stop()
