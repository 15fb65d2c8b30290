"""A server that answers as an API server does, with what a test says: for refusals by words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml

from pymr.kubernetes.kube import Kube, open_kube


class Answer(NamedTuple):
    """A status of HTTP, and the JSON that goes with it; text for what is no API server."""

    status: int
    body: Any


class PlayedServer(ThreadingHTTPServer):
    """Answers by method (or WATCH) and path, else 404; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def opened(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
        """Open its namespace, by a kubeconfig that is written into `folder`."""
        path = folder / "kubeconfig"
        path.write_text(self.kubeconfig())
        monkeypatch.setenv("KUBECONFIG", str(path))
        with open_kube() as kube:
            yield kube

    def kubeconfig(self) -> str:
        """Return a kubeconfig whose only context, `played`, is this server."""
        return yaml.safe_dump(
            {
                "clusters": [{"name": "played", "cluster": {"server": self.url}}],
                "users": [{"name": "ann", "user": {"token": "canary-0123456789abcdef"}}],
                "contexts": [{"name": "played", "context": {"cluster": "played", "user": "ann"}}],
                "current-context": "played",
            }
        )


class _Handler(BaseHTTPRequestHandler):
    server: PlayedServer

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        verb = "WATCH" if "watch=true" in parts.query else self.command
        asked = f"{verb} {parts.path}"
        self.server.asked.append(asked)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.answers.get(asked) or self.server.answers.get("*") or NOT_FOUND
        is_text = isinstance(answer.body, str)
        body = (answer.body if is_text else json.dumps(answer.body)).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/html" if is_text else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names are the library's

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def refusal(status: int, reason: str, message: str) -> Answer:
    """Return an answer that says no."""
    told = {"kind": "Status", "apiVersion": "v1", "code": status}
    return Answer(status, {**told, "reason": reason, "message": message})


NOT_FOUND = refusal(404, "NotFound", "it is not found")


@contextmanager
def played_server() -> Iterator[PlayedServer]:
    """Run one, as long as the block lasts."""
    with PlayedServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
