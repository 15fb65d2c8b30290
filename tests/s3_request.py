"""One signed request to an S3 store, for what tests do to it behind PyMR's back.

Buckets, keys that our client refuses, unfinished uploads. Signature Version 4.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import time
from typing import NamedTuple
from urllib.parse import quote, urlsplit


class Server(NamedTuple):
    """A store that runs, and the keys of its owner."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"
    root_certificates: str | None = None  # who vouches for it, PEM


def send(
    server: Server,
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> bytes:
    """Return the body of the answer to a request for `path`, which begins with `/bucket`.

    Raises:
        AssertionError: the status is not 2xx; the message has what the store says.
    """
    digest = hashlib.sha256(body).hexdigest()
    parameters = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in sorted((query or {}).items())
    )
    target = quote(path, safe="/~")
    signed = signature(server, method, target, parameters, digest)
    connection = _connection(server)
    try:
        connection.request(
            method, f"{target}?{parameters}".rstrip("?"), body, signed | (headers or {})
        )
        answer = connection.getresponse()
        told = answer.read()
    finally:
        connection.close()
    assert answer.status // 100 == 2, f"{method} {target}: {answer.status} {told!r}"
    return told


def _connection(server: Server) -> http.client.HTTPConnection:
    parts = urlsplit(server.endpoint)
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.netloc, timeout=30)
    context = ssl.create_default_context(cadata=server.root_certificates)
    return http.client.HTTPSConnection(parts.netloc, timeout=30, context=context)


def signature(
    server: Server, method: str, target: str, parameters: str, digest: str
) -> dict[str, str]:
    """Return the heads of a request that its owner makes; `parameters` are sorted `name=value`."""
    host = urlsplit(server.endpoint).netloc
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    signed = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": when}
    names = ";".join(signed)
    canonical = "\n".join(
        [method, target, parameters, *(f"{k}:{v}" for k, v in signed.items()), "", names, digest]
    )
    scope = f"{when[:8]}/{server.region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{server.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    made = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={server.access_key_id}/{scope},"
        f" SignedHeaders={names}, Signature={made}"
    )
    return signed
