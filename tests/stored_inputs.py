"""A store with inputs in it, and the command line that reads them there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

from cli import CommandLine, Outcome
from s3_request import Server, send

_OF_ONE_WAY = {"connection", "transfer-encoding", "date", "server"}


class StoredInputs(CommandLine):
    """A folder of its own, and a store of its own in which inputs are put behind PyMR's back."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(folder)
        self.server = server
        self.place = f"in-{secrets.token_hex(6)}"
        self.url = f"s3://{self.place}"
        send(server, "PUT", f"/{self.place}")
        self.environ |= {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_REGION": server.region,
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        }

    def put(self, key: str, body: bytes = b"x\n") -> None:
        """Put an object; `key` is taken as it is."""
        send(self.server, "PUT", f"/{self.place}/{key}", body=body)

    def read(self, key: str, *flags: str, **start: object) -> Outcome:
        """Run a job on an address in the store."""
        return self.start(f"--input={self.url}/{key}", *flags, **start)


class ManyObjects(BaseHTTPRequestHandler):
    """Answers as a store with a million empty objects does, to listings of them."""

    protocol_version = "HTTP/1.1"
    pages = 1000
    rows = "".join(
        f"<Contents><Key>logs/2026-11-26/PAGE{number:03d}.txt</Key><Size>0</Size>"
        f"<ETag>&quot;{number:032x}&quot;</ETag></Contents>"
        for number in range(1000)
    )

    def do_GET(self) -> None:
        """Answer with the next page."""
        page = int(parse_qs(urlsplit(self.path).query).get("continuation-token", ["0"])[0])
        token = f"<NextContinuationToken>{page + 1}</NextContinuationToken>"
        more = token if page + 1 < self.pages else ""
        rows = self.rows.replace("PAGE", f"{page:04d}")
        body = (
            f"<ListBucketResult><EncodingType>url</EncodingType>{rows}{more}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a port of this machine until the end of the block; give the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def refusing(
    server: Server, place: str, answers: dict[str, tuple[int, str, str]]
) -> type[BaseHTTPRequestHandler]:
    """Return what passes requests on to a store, but those for some keys."""

    class Refusing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Refuse it, or pass it on."""
            key = unquote(urlsplit(self.path).path.removeprefix(f"/{place}/"))
            if key in answers:
                status, code, words = answers[key]
                told = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>".encode()
                self._answer(status, {}, told)
                return
            onward = HTTPConnection(urlsplit(server.endpoint).netloc)
            onward.request(self.command, self.path, headers=dict(self.headers))
            answer = onward.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in _OF_ONE_WAY}
            self._answer(answer.status, kept, answer.read())
            onward.close()

        do_HEAD = do_GET  # noqa: N815 - the name that the library looks for

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Refusing
