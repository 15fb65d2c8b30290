"""An HTTP proxy before a store that breaks what it is told to: requests, replies, time.

    with FaultProxy(minio.endpoint, seed=7) as proxy:
        fault = proxy.break_(Fault("status", share=0.1, status=503, code="SlowDown"))
        …                              # a client of proxy.endpoint
        proxy.heal()

Which requests of a share are hit depends on the seed, the request, and how often it came: not on
threads. The first fault that fits is done. `fault.hits` counts, `proxy.seen` lists all requests.
"""

from __future__ import annotations

import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from pymr.store.access import Address
from pymr.store.object_store import ObstoreStore, open_objects
from s3_request import Server
from services import access_to

Kind = Literal[
    "status",  # an answer of its own: status, code
    "cut",  # the connection ends before the store has seen the request
    "lose_reply",  # … after the store has done it
    "land_later",  # … and the store sees it when `land` is called
    "truncate",  # half of the body of the answer
    "flip",  # one byte of the body of the answer
    "flip_upload",  # … of the request
    "slow",  # `latency_s` before the answer, then `bytes_per_s`, of a request's body too
    "edit",  # the body of the answer as `edit` returns it
]
_CHUNK = 16 << 10


@dataclass
class Fault:
    """What to break, and of which requests: the `method` and a part of the target must fit."""

    kind: Kind
    share: float = 1.0
    times: int | None = None
    method: str = ""
    target: str = ""  # a regular expression
    status: int = 500
    code: str = "InternalError"
    words: str = ""
    latency_s: float = 0.0
    bytes_per_s: float = float("inf")
    edit: Callable[[bytes], bytes] = bytes
    hits: int = field(default=0, init=False)


@dataclass
class _Message:
    """A request or an answer: its head, with the blank line, and its body."""

    head: bytes
    body: bytes

    @property
    def words(self) -> list[str]:
        """The words of the first line."""
        return self.head.partition(b"\r\n")[0].decode("latin-1").split(" ")

    def header(self, name: str) -> str:
        found = re.search(rf"(?im)^{name}: *(.*?)\r$".encode(), self.head)
        return found[1].decode("latin-1") if found else ""


class FaultProxy:
    """A proxy on loopback, or on what `listener` listens to, until the end of the block."""

    def __init__(self, endpoint: str, seed: int = 0, listener: socket.socket | None = None) -> None:
        split = urlsplit(endpoint)
        self._store = (split.hostname or "", split.port or 80)
        self._seed = seed
        self._faults: list[Fault] = []
        self._times: Counter[str] = Counter()
        self._late: list[_Message] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.endpoint = "http://{}:{}".format(*self._listener.getsockname())
        self.seen: list[str] = []  # "GET /bucket/key"
        self.answered: list[str] = []  # the same, of those that the store has done
        self.heads: list[str] = []  # … with all headers

    def break_(self, fault: Fault) -> Fault:
        """Do `fault` from the next request on, before those that were given earlier."""
        with self._lock:
            self._faults.insert(0, fault)
        return fault

    def heal(self) -> None:
        """Break nothing any more."""
        with self._lock:
            self._faults.clear()

    def land(self) -> int:
        """Let the store see the requests that were held back; return how many it took."""
        with self._lock:
            late, self._late = self._late, []
        return sum(self._forward(message).words[1] == "200" for message in late)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = client.makefile("rb")
            while (head := _head(stream)) and self._answer(client, stream, head):
                pass

    def _answer(self, client: socket.socket, stream: object, head: bytes) -> bool:
        """Answer one request; False if the connection is over then."""
        method, target = _Message(head, b"").words[:2]
        self.heads.append(head.decode("latin-1"))
        fault = self._fault_of(method, target)
        kind = fault.kind if fault else None
        request = _Message(head, _body(stream, head, fault if kind == "slow" else None))
        if kind == "cut":
            return False
        if kind == "land_later":
            with self._lock:
                self._late.append(request)
            return False
        if fault and kind == "status":
            client.sendall(_refusal(fault, method))
            return True
        if kind == "flip_upload":
            request.body = _flipped(request.body)
        if fault and kind == "slow":
            self._closed.wait(fault.latency_s)
        answer = self._forward(request)
        if kind == "lose_reply":
            return False
        if kind == "truncate":
            client.sendall(answer.head + answer.body[: len(answer.body) // 2])
            return False
        if kind == "flip":
            answer.body = _flipped(answer.body)
        if fault and kind == "edit":
            answer = _edited(answer, fault.edit)
        self.answered.append(f"{method} {target}")
        self._send(client, answer, fault.bytes_per_s if fault else float("inf"))
        return True

    def _fault_of(self, method: str, target: str) -> Fault | None:
        with self._lock:
            request = f"{method} {target}"
            self.seen.append(request)
            self._times[request] += 1
            drawn = random.Random(f"{self._seed} {request} {self._times[request]}").random()
            for fault in self._faults:
                fits = fault.method in ("", method) and re.search(fault.target, target)
                if fits and drawn < fault.share and fault.hits != fault.times:
                    fault.hits += 1
                    return fault
        return None

    def _forward(self, request: _Message) -> _Message:
        with socket.create_connection(self._store, timeout=60) as server:
            server.sendall(request.head + request.body)
            stream = server.makefile("rb")
            head = _head(stream)
            if request.words[0] == "HEAD":
                return _Message(head, b"")
            answer = _Message(head, _body(stream, head))
            return _edited(answer, _unchunked) if _is_chunked(head) else answer

    def _send(self, client: socket.socket, answer: _Message, bytes_per_s: float) -> None:
        client.sendall(answer.head)
        for start in range(0, len(answer.body), _CHUNK):
            chunk = answer.body[start : start + _CHUNK]
            client.sendall(chunk)
            self._closed.wait(len(chunk) / bytes_per_s)


def _head(stream) -> bytes:
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _body(stream, head: bytes, slow: Fault | None = None) -> bytes:
    message = _Message(head, b"")
    if _is_chunked(head):
        body = b""
        while True:
            line = stream.readline()
            body += line + stream.read(int(line.split(b";")[0], 16) + 2)
            if line.strip() == b"0":
                return body
    left, parts, pause = int(message.header("content-length") or 0), [], threading.Event()
    while left:
        parts.append(stream.read(min(left, _CHUNK)))
        left -= len(parts[-1])
        if slow is not None:
            pause.wait(len(parts[-1]) / slow.bytes_per_s)
        if not parts[-1]:
            raise ConnectionResetError
    return b"".join(parts)


def _is_chunked(head: bytes) -> bool:
    return _Message(head, b"").header("transfer-encoding").lower() == "chunked"


def _unchunked(body: bytes) -> bytes:
    parts = []
    while True:
        line, _, body = body.partition(b"\r\n")
        length = int(line.split(b";")[0], 16)
        if not length:
            return b"".join(parts)
        parts.append(body[:length])
        body = body[length + 2 :]


def _refusal(fault: Fault, method: str) -> bytes:
    body = f"<Error><Code>{fault.code}</Code><Message>{fault.words}</Message></Error>"
    shown = "" if method == "HEAD" else body
    return (
        f"HTTP/1.1 {fault.status} X\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{shown}"
    ).encode()


def _flipped(body: bytes) -> bytes:
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] if body else body


def _edited(answer: _Message, edit: Callable[[bytes], bytes]) -> _Message:
    body = edit(answer.body)
    lines = [
        line
        for line in answer.head.removesuffix(b"\r\n").splitlines(keepends=True)
        if not re.match(rb"(?i)content-length:|transfer-encoding:", line)
    ]
    return _Message(b"".join([*lines, b"Content-Length: %d\r\n\r\n" % len(body)]), body)


def open_through(proxy: FaultProxy, server: Server, bucket: str, **access: object) -> ObstoreStore:
    """Return the objects under a prefix of a bucket, reached through the proxy."""
    changes = {"endpoint": proxy.endpoint, "storage_wait_s": 30.0, **access}
    return open_objects(Address("s3", bucket, "out"), access_to(server, **changes))
