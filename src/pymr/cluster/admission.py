"""Who may call what: the certificate says the role, the token proves it, and both are of this run.

Whoever gets so far has a certificate of the run's authority; without one there is no connection.
Pure but for the clock that it is given.
"""

from __future__ import annotations

import hmac
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from pymr.cluster.certificate import Role, role_name
from pymr.cluster.join import Tokens
from pymr.errors import RefusedError

_HEADER: Final = "authorization"
_SCHEME: Final = "Bearer "
CONNECTIONS_MAX: Final = 50  # of one host, with a call under way
REFUSALS_MAX: Final = 10  # of one host in REFUSALS_WINDOW_S; then none of its calls is looked at
REFUSALS_WINDOW_S: Final = 60.0
HOSTS_MAX: Final = 10_000  # that are remembered to have been refused


class Admission:
    """Lets callers of one run in. One thread."""

    def __init__(
        self,
        run: str,
        tokens: Tokens,
        *,
        clock: Callable[[], float] = time.monotonic,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """`connections_max`: of one host."""
        self._run = run
        self._tokens = tokens
        self._clock = clock
        self._connections_max = connections_max
        self._refusals: dict[str, deque[float]] = {}
        self._calls: dict[str, dict[str, int]] = {}  # host: peer: calls under way
        self.refused = 0  # calls, ever

    def __repr__(self) -> str:
        return f"Admission({self._run!r})"

    def enter(
        self,
        peer: str,
        role: Role,
        metadata: Iterable[tuple[str, Any]],
        certificate: Mapping[str, Iterable[bytes]],
    ) -> None:
        """Let a call in; `leave` follows when it is over.

        `peer` and `certificate` are as gRPC gives them: `ipv4:10.0.0.1:4711`, and the properties
        of the connection.

        Raises:
            RefusedError: it is not let in, and nothing of what it sent is looked at.
        """
        host = host_of(peer)
        try:
            self._check_rate(host)
            self._check_connections(host, peer)
            self._check_role(host, role, metadata, certificate)
        except RefusedError:
            self.refused += 1
            raise
        calls = self._calls.setdefault(host, {})
        calls[peer] = calls.get(peer, 0) + 1

    def leave(self, peer: str) -> None:
        """End a call that was let in."""
        host = host_of(peer)
        calls = self._calls[host]
        calls[peer] -= 1
        if not calls[peer]:
            del calls[peer]
        if not calls:
            del self._calls[host]

    def _check_rate(self, host: str) -> None:
        refusals = self._refusals.get(host)
        if refusals is None:
            return
        earliest = self._clock() - REFUSALS_WINDOW_S
        while refusals and refusals[0] <= earliest:
            refusals.popleft()
        if not refusals:
            del self._refusals[host]
        elif len(refusals) >= REFUSALS_MAX:
            raise RefusedError(
                f"`{host}` was refused {len(refusals)} times within {REFUSALS_WINDOW_S:.0f} s,"
                " and is not listened to for a while",
                is_rate=True,
            )

    def _check_role(
        self,
        host: str,
        role: Role,
        metadata: Iterable[tuple[str, Any]],
        certificate: Mapping[str, Iterable[bytes]],
    ) -> None:
        names = certificate.get("x509_subject_alternative_name", ())
        given = [value for key, value in metadata if key == _HEADER]
        if role_name(self._run, role).encode() not in names:
            what = "certificate"
        elif len(given) != 1 or not _is_equal(given[0], _SCHEME + self._tokens.of(role)):
            what = "token"
        else:
            return
        if len(self._refusals) >= HOSTS_MAX:
            self._refusals.pop(next(iter(self._refusals)))
        self._refusals.setdefault(host, deque(maxlen=REFUSALS_MAX)).append(self._clock())
        raise RefusedError(f"the {what} of `{host}` is not that of a {role} of this run")

    def _check_connections(self, host: str, peer: str) -> None:
        calls = self._calls.get(host, {})
        if peer not in calls and len(calls) >= self._connections_max:
            raise RefusedError(
                f"`{host}` has {len(calls)} connections, expected at most {self._connections_max}"
            )


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that prove a role."""
    return ((_HEADER, _SCHEME + token),)


def host_of(peer: str) -> str:
    """Return the host of a peer as gRPC names it: `ipv6:[::1]:4711` is `::1`."""
    address = unquote(peer).partition(":")[2]
    return address.rpartition(":")[0].strip("[]") or peer


def _is_equal(given: str | bytes, expected: str) -> bool:
    """Compare in a time that does not depend on where they differ."""
    text = given if isinstance(given, bytes) else given.encode(errors="surrogateescape")
    return hmac.compare_digest(text, expected.encode())
