"""Requests to an S3 store for keys that the library takes for paths: listed and read as they are.

S3 keys are any text. The library makes `x` of `/x`, and has no way to ask for `a//b`, for `..` or
for a control character, nor does a listing tell what it is without `encoding-type=url`. So inputs
are listed here, and those few that need it are read here, by plain HTTP with AWS Signature
Version 4 (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).

What a failure means is told by the same table as for the library: an error has the same text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from pymr.store.access import Access, Address
from pymr.store.credentials import renewed
from pymr.store.signature import REGION, Signer

if TYPE_CHECKING:
    from ssl import SSLContext
    from urllib.request import BaseHandler, OpenerDirector

_SILENCE_S: Final = 60.0  # no byte of an answer comes for so long
_ANSWER_BYTES_MAX: Final = 16 << 20  # of a page of 1,000 keys with 1,024 bytes, escaped: 4 MB
_FOUND: Final = re.compile(
    r"<(Contents|CommonPrefixes)>(.*?)</\1>", re.DOTALL
)  # no parser of XML: it would do more than is wanted
_FIELDS: Final = re.compile(r"<(Key|Prefix|Size|ETag)>([^<]*)</")
_TOKEN: Final = re.compile(r"<NextContinuationToken>([^<]*)</")
_UPLOAD: Final = re.compile(
    r"<Upload>.*?<Key>([^<]*)</Key>.*?<UploadId>([^<]*)</UploadId>.*?</Upload>", re.DOTALL
)
_IS_TRUNCATED: Final = "<IsTruncated>true<"
_IS_ENCODED: Final = "<EncodingType>url<"


class Row(NamedTuple):
    """What a listing has of an object; or of a folder, whose key ends in a slash: size -1."""

    key: bytes
    size: int
    etag: str


class Page(NamedTuple):
    """One answer to a listing, and what to go on with, if it goes on."""

    rows: list[Row]
    token: str | None


class Upload(NamedTuple):
    """An upload in parts that was begun and not completed; `name` is the store's for it."""

    key: bytes
    name: str


class Answer(NamedTuple):
    """What the store says."""

    headers: Mapping[str, str]
    body: bytes


def opener_of(access: Access, *handlers: BaseHandler) -> OpenerDirector:
    """Return what sends requests to a store, by a proxy of the environment if there is one."""
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

    class NoRedirects(HTTPRedirectHandler):
        """A store that is elsewhere is an error: the keys are not for others."""

        def redirect_request(self, *_: Any) -> None:
            return None

    return build_opener(NoRedirects, HTTPSHandler(context=tls_context(access)), *handlers)


def tls_context(access: Access) -> SSLContext:
    """Return what trusts the certificates of the system, and those of `access`."""
    import ssl

    context = ssl.create_default_context()
    if access.root_certificates:
        context.load_verify_locations(cadata=access.root_certificates)
    return context


class SignedRequests:
    """Reads one S3 store. Threads may share it.

    Its methods raise OSError as the library would: `object_errors` tells what it means.
    """

    def __init__(self, address: Address, access: Access) -> None:
        self._access = access
        endpoint = access.endpoint or f"https://s3.{access.region or REGION}.amazonaws.com"
        parts = urlsplit(endpoint.rstrip("/"))
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._path = f"{parts.path}/{address.bucket}"
        self._opened: OpenerDirector | None = None

    def page(self, prefix: bytes, token: str | None, *, is_deep: bool) -> Page:
        """Return the next page of the objects whose keys begin with `prefix`.

        Unless `is_deep`, those with a slash behind the prefix are one folder up to that.
        """
        query: dict[str, str | bytes] = {
            "list-type": "2",
            "encoding-type": "url",
            "prefix": prefix,
        }
        if not is_deep:
            query["delimiter"] = "/"
        if token is not None:
            query["continuation-token"] = token
        text = self._send("GET", b"", query).body.decode()
        if not text.rstrip().endswith("</ListBucketResult>"):
            raise OSError("a listing ended early")
        found = _TOKEN.search(text)
        return Page(list(_rows(text)), html.unescape(found[1]) if found else None)

    def head(self, key: bytes) -> tuple[int, str]:
        """Return size and ETag of an object."""
        headers = self._send("HEAD", key).headers
        return int(headers["Content-Length"]), headers.get("ETag", "")

    def get(self, key: bytes, start: int, length: int, etag: str) -> bytes:
        """Return bytes [start, start + length) of the version `etag` of an object."""
        asked = {"Range": f"bytes={start}-{start + length - 1}"}
        if etag:
            asked["If-Match"] = etag
        body = self._send("GET", key, headers=asked, most=length).body
        if len(body) < length:
            raise OSError("the body of an object ended early")
        return body

    def create_root(self) -> None:
        """Create the bucket, where the store puts those of which nothing is said."""
        self._send("PUT", b"")

    def uploads(self, prefix: bytes) -> list[Upload]:
        """Return the uploads of objects in parts that were never completed, below `prefix`.

        MinIO tells of none, unless `prefix` is the whole key; it drops them after a day itself.
        """
        found: list[Upload] = []
        query: dict[str, str | bytes] = {"uploads": "", "encoding-type": "url", "prefix": prefix}
        while True:
            text = self._send("GET", b"", query).body.decode()
            is_encoded = _IS_ENCODED in text
            page = [Upload(_exact(key, is_encoded), name) for key, name in _UPLOAD.findall(text)]
            found += page
            if _IS_TRUNCATED not in text or not page:
                return found
            query |= {"key-marker": page[-1].key, "upload-id-marker": page[-1].name}

    def abort(self, upload: Upload) -> None:
        """Drop an upload, and what was sent of it; one that is gone is no error."""
        with suppress(FileNotFoundError):
            self._send("DELETE", upload.key, {"uploadId": upload.name})

    def _send(
        self,
        method: str,
        key: bytes,
        query: Mapping[str, str | bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = _ANSWER_BYTES_MAX,
    ) -> Answer:
        from urllib.error import HTTPError
        from urllib.request import Request

        path = self._path + (f"/{quote(key, safe='/~')}" if key else "")
        asked = "&".join(
            f"{name}={quote(text, safe='')}" for name, text in sorted((query or {}).items())
        )
        request = Request(  # noqa: S310 - an endpoint is one of HTTP
            f"{self._base}{path}{'?' if asked else ''}{asked}",
            headers={**self._signed(method, path, asked), **(headers or {})},
            method=method,
        )
        silence_s = _SILENCE_S if self._access.silence_s is None else self._access.silence_s
        try:
            with self._opener().open(request, timeout=silence_s) as answer:
                return Answer(answer.headers, answer.read(most))
        except HTTPError as error:
            told = error.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace")
            raise _error_of(error.code, told) from error

    def _opener(self) -> OpenerDirector:
        if self._opened is None:
            self._opened = opener_of(self._access)
        return self._opened

    def _signed(self, method: str, path: str, query: str) -> dict[str, str]:
        """Return the headers of a request without a body that say who sends it."""
        self._access = renewed(self._access)
        return Signer(self._access, urlsplit(self._base).netloc).headers(method, path, query)


def _error_of(status: int, told: str) -> Exception:
    from obstore.exceptions import PreconditionError

    text = f"status code: {status}: {told}"
    if status == 404:  # noqa: PLR2004 - Not Found
        return FileNotFoundError(text)
    return PreconditionError(text) if status == 412 else OSError(text)  # noqa: PLR2004


def _exact(key: str, is_encoded: bool) -> bytes:  # noqa: FBT001 - what the answer says
    """Return a key as it is, of one that stands in an answer."""
    if is_encoded:
        return unquote_to_bytes(key.replace("+", " "))
    return html.unescape(key).encode()


def _rows(text: str) -> Iterator[Row]:
    """Yield what a page of a listing names."""
    is_encoded = _IS_ENCODED in text
    for match in _FOUND.finditer(text):
        fields = dict(_FIELDS.findall(match[2]))
        key = fields.get("Key") or fields.get("Prefix", "")
        exact = _exact(key, is_encoded)
        if match[1] == "Contents":
            yield Row(exact, int(fields["Size"]), html.unescape(fields.get("ETag", "")))
        else:
            yield Row(exact, -1, "")
