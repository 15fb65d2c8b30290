"""Stores that do one thing wrong: what a probe must find. And a proxy that makes one of MinIO."""

# ruff: noqa: D102 - the class says what is wrong
from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from obstore.store import MemoryStore

from pymr.errors import ObjectExistsError, ObjectMissingError
from pymr.store.base import ObjectEntry
from pymr.store.object_store import ObstoreStore
from pymr.store.object_writer import PartsWriter
from s3_request import Server, signature


class GoodStore(ObstoreStore):
    """A store in memory, without a flaw."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.seen: set[str] = set()
        self.old: dict[str, bytes] = {}


class CreatesAgain(GoodStore):
    """It ignores If-None-Match."""

    def put_if_absent(self, key: str, body: bytes) -> None:
        self.replace(key, body)


class CreatesTwice(GoodStore):
    """It looks whether an object is there, and then creates it."""

    def put_if_absent(self, key: str, body: bytes) -> None:
        if key in self.seen:
            raise ObjectExistsError(f"object `{key}` exists", key=key)
        self.replace(key, body)
        self.seen.add(key)


class CreatesForNobody(GoodStore):
    """Of many at once none is told that it has won."""

    def put_if_absent(self, key: str, body: bytes) -> None:
        super().put_if_absent(key, body)
        if b"round" in body:
            raise ObjectExistsError(f"object `{key}` exists", key=key)


class TellsAnother(GoodStore):
    """It tells one that it has won, and keeps the bytes of another."""

    def put_if_absent(self, key: str, body: bytes) -> None:
        super().put_if_absent(key, body)
        if b"round" in body:
            self.replace(key, b"another's")


class HasNoVersions(GoodStore):
    """It gives no ETag."""

    def get_versioned(self, key: str) -> tuple[bytes, str]:
        return self.get(key), ""

    def get(self, key: str) -> bytes:
        return super().get_versioned(key)[0]


class ReplacesAnything(GoodStore):
    """It ignores If-Match."""

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        del version
        self.replace(key, body)


class ReplacesWhatIsMissing(GoodStore):
    """It takes an object that is not there for one of the version."""

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        try:
            super().replace_if(key, body, version)
        except ObjectMissingError:
            self.replace(key, body)


class ReplacesNothing(GoodStore):
    """It refuses If-Match."""

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        del body, version
        raise ObjectExistsError(f"object `{key}` is of another version", key=key)


class ReplacesTwice(GoodStore):
    """It looks at the version, and then replaces the object."""

    def replace_if(self, key: str, body: bytes, version: str) -> None:
        if self.get_versioned(key)[1] != version:
            raise ObjectExistsError(f"object `{key}` is of another version", key=key)
        self.replace(key, body)


class ForgetsAtFirst(GoodStore):
    """A new object is there when it is asked for the second time."""

    def replace(self, key: str, body: bytes) -> None:
        super().replace(key, body)
        if "fresh" in key:
            self.seen.add(key)

    def get(self, key: str) -> bytes:
        if key in self.seen:
            self.seen.discard(key)
            raise ObjectMissingError(f"no object `{key}`", key=key)
        return super().get(key)


class KnowsTooMuch(GoodStore):
    """What was never written is there."""

    def get(self, key: str) -> bytes:
        return b"" if "fresh" in key else super().get(key)


class ReadsTheOld(GoodStore):
    """A cache gives what was there before."""

    def get(self, key: str) -> bytes:
        return self.old.setdefault(key, super().get(key))


class DeletesNothing(GoodStore):
    """It says that it did."""

    def delete(self, key: str) -> None:
        """Do nothing."""


class CutsRanges(GoodStore):
    """A range from the first byte on is shifted."""

    def get_range(self, key: str, start: int, length: int, version: str | None = None) -> bytes:
        return super().get_range(key, start + (start == 1), length, version)


class CutsParts(GoodStore):
    """An object of several parts has lost its end."""

    def size(self, key: str) -> int:
        return super().size(key) - 1


class _Leaks(PartsWriter):
    def __exit__(self, *told: object) -> None:
        super().__exit__(*told)
        self.leak()

    def leak(self) -> None:
        """Show what was dropped."""


class ShowsWhatWasDropped(GoodStore):
    """An upload that was dropped is an object."""

    def create(self, key: str) -> PartsWriter:
        store = self

        class Leaking(_Leaks):
            def leak(self) -> None:
                if "dropped" in key:
                    store.replace(key, b"some of it")

        return Leaking(self, key)


class ListsOnePage(GoodStore):
    """What comes after a thousand keys is not told."""

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        yield from [*super().list(prefix)][:1000]


class ListsTheDeleted(GoodStore):
    """A listing is as it was."""

    def list(self, prefix: str) -> Iterator[ObjectEntry]:
        found = [*super().list(prefix)]
        self.seen |= {entry.key for entry in found}
        yield from sorted(ObjectEntry(key, 0) for key in self.seen if key.startswith(prefix))


class RefusesParts(GoodStore):
    """It knows no uploads in parts."""

    def create(self, key: str) -> PartsWriter:
        raise ObjectMissingError(f"`{key}`: not implemented", key=key)


class Proxy(BaseHTTPRequestHandler):
    """Hands requests on to a store, but for their conditions, and signs them anew."""

    protocol_version = "HTTP/1.1"
    server_of: ClassVar[Server]
    is_racy: ClassVar[bool]
    done: ClassVar[set[str]]  # keys that were created

    def handle_one(self) -> None:
        """Answer one request as the store does."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target, _, query = self.path.partition("?")
        pairs = [pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair]
        parameters = "&".join(sorted(pairs))
        digest = hashlib.sha256(body).hexdigest()
        headers = signature(self.server_of, self.command, target, parameters, digest)
        for name in ("Range", "If-Match", "Content-Type", "Content-MD5", "If-None-Match"):
            if name in self.headers and (name != "If-None-Match" or self.is_kept()):
                headers[name] = self.headers[name]
        connection = http.client.HTTPConnection(headers["host"], timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            told = answer.read()
        finally:
            connection.close()
        if self.command == "PUT" and answer.status // 100 == 2:
            self.done.add(self.path)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told)

    def is_kept(self) -> bool:
        """Say whether this condition is handed on."""
        return self.is_racy and self.path in self.done

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one  # noqa: N815 - http.server's

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def unconditional(server: Server, *, is_racy: bool) -> Iterator[str]:
    """Give the endpoint of a store that ignores If-None-Match.

    `is_racy`: only until it has created the object, so that of many at once several win.
    """
    told = {"server_of": server, "is_racy": is_racy, "done": set()}
    handler = type("Handler", (Proxy,), told)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()
            thread.join()
