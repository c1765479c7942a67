"""A control plane made of recorded answers, behind real HTTP, and a way to run ``ccx`` against it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ORDERS = "0197f3a2-5c1b-7e7e-9b4c-6d1f0a2b3c4d"
INVOICES = "0197f3a9-1111-7e7e-9b4c-6d1f0a2b3c4d"
HANG_UP = object()
"""An answer that never comes: the connection is closed instead."""
JOB = "0197f3a3-0000-7000-8000-000000000001"


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


@dataclass
class Recorded:
    """Answers by method and path (below ``/api``). A list of answers is given out one by one, the last for ever."""

    url: str = ""
    answers: dict[tuple[str, str], list[tuple[int, Any, dict[str, str]]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def on(
        self, method: str, path: str, *bodies: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.answers[method, path] = [(status, body, headers or {}) for body in bodies or ({},)]

    def refuse(self, method: str, path: str, status: int, err: str, field: str | None = None, remedy: str | None = None,
               **more: Any) -> None:  # fmt: skip
        shape = {"code": status, "err": err, "field": field, "remedy": remedy, **more}
        self.answers[method, path] = [(status, shape, {})]

    def asked(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]


@contextmanager
def control_plane(certificate: Path | None = None) -> Iterator[Recorded]:
    """A server of recorded answers on a free port of the loopback; HTTPS with a PEM file of key and chain."""
    recorded = Recorded()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            path, _, query = self.path.removeprefix("/api").partition("?")
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            recorded.requests.append(Request(self.command, path, query, dict(self.headers), body))
            missing = [(404, {"code": 404, "err": "there is no such path", "field": None, "remedy": None}, {})]
            answers = recorded.answers.get((self.command, path), missing)
            status, content, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            if content is HANG_UP:
                self.close_connection = True
                return
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: Any) -> None:
            """Tests say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recorded.url = f"http://127.0.0.1:{server.server_port}"
    if certificate is not None:
        recorded.url = recorded.url.replace("http", "https")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield recorded
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def datastore(uuid: str = ORDERS, name: str = "orders", status: str = "STARTED", **more: Any) -> dict[str, Any]:
    """A datastore as the API reads it."""
    return {
        "uuid": uuid, "cluster_name": name, "cluster_status": status, "cluster_status_text": "", "cluster_size": 3,
        "cluster_type": "postgres_streaming", "cluster_type_name": "Streaming Replication",
        "database_vendor": "postgres", "database_version": "17", "primary_url": "p.k7.db.example.net",
        "replica_url": "r.k7.db.example.net", "cloud_provider": "local", "region": {"code": "here", "name": "Here"},
        "instance_size": "small", "disk_size": 80, "disk_type": "ssd", "tags": ["a", "b"], "current_job": None,
        "created_at": "2026-03-01T08:00:00Z",
        "db_account": {"database_username": "ccxadmin", "database_password": "Xy7secret", "database_host": "p"},
        **more,
    }  # fmt: skip


def page(*stores: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    total = len(stores) if total is None else total
    return {"pagination": {"limit": 100, "offset": 0, "total": total}, "data_stores": list(stores)}


def job(status: str = "JOB_STATUS_FINISHED", *steps: dict[str, Any], kind: str = "JOB_TYPE_DEPLOY_DATASTORE",
        error: str | None = None, remedy: str | None = None) -> dict[str, Any]:  # fmt: skip
    over = status != "JOB_STATUS_RUNNING"
    return {
        "job_id": JOB, "type": kind, "status": status, "state": "done" if over else "running",
        "created_at": "2026-03-01T08:00:00Z", "started_at": "2026-03-01T08:00:00Z",
        "finished_at": "2026-03-01T08:00:09.500Z" if over else None, "error": error, "remedy": remedy,
        "progress": 100 if over else 40, "steps": list(steps),
    }  # fmt: skip


def step(name: str, took: float | None = 1.0, state: str = "done") -> dict[str, Any]:
    finished = None if took is None else f"2026-03-01T08:00:{took:06.3f}Z"
    return {"name": name, "state": state if finished else "begun", "started_at": "2026-03-01T08:00:00Z",
            "finished_at": finished, "attempts": 1, "progress": None, "error": None}  # fmt: skip


WIZARD = {
    "database": {"vendors": [{"code": "postgres", "name": "PostgreSQL", "version": "17", "versions": ["17"],
                              "num_nodes": [1, 2, 3], "types": [{"code": "postgres_streaming", "name": "Streaming"}]}]},
    "cloud": {"cloud_providers": [{"code": "local", "name": "Local", "full_name": "Local", "type": "local",
                                   "regions": [{"code": "here", "name": "Here", "country_code": "", "city": ""}]}]},
    "instance": {
        "instance_sizes": {"local": [{"code": "big", "name": "Big", "type": "c4", "cpu": 4, "ram": 8, "price": 0},
                                     {"code": "small", "name": "Small", "type": "c1", "cpu": 1, "ram": 2, "price": 0}]},
        "volume_types": {"local": [{"code": "ssd", "name": "SSD", "has_iops": False, "price": 0}]},
        "volume_sizes": {"local": {"ssd": {"min": 10, "max": 1000, "default": 80, "unit": "GiB"}}},
    },
    "network": {"network": {"local": [{"code": "public", "enabled": True}]},
                "availability_zones": {"local": {"here": []}}},
}  # fmt: skip
