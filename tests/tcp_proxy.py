"""A wire between two ends on this machine that can be cut, and that can swallow what one says."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Self


class TcpProxy:
    """Forwards connections to an address."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.swallows_replies = False
        self.refuses = False
        self.accepted = 0
        self._sockets: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self.cut()

    def cut(self) -> None:
        """End all connections at once, without a goodbye."""
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.refuses:
                    near.close()
                    continue
                self.accepted += 1
                try:
                    far = socket.create_connection(self._target)
                except OSError:  # It is away; the next one may meet it.
                    near.close()
                    continue
                self._sockets += [near, far]
                if self.refuses:  # Since then: it was not there when all were cut.
                    self.cut()
                    continue
                for source, sink, replies in ((near, far, False), (far, near, True)):
                    threading.Thread(
                        target=self._pump, args=(source, sink, replies), daemon=True
                    ).start()

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not (replies and self.swallows_replies):
                    sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
