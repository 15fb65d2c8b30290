"""What an object store's refusal means: one class, one line, the next command, and who may retry.

The library tells a status and the store's own words in the text of an error; they are read here
and nowhere else. What is told names the endpoint, the bucket and the key, and never a secret.
"""

from __future__ import annotations

import re
import shlex
from enum import Enum
from typing import Final, NamedTuple

from pymr.errors import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    PymrError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from pymr.text_form import show_text

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_WORDS: Final = re.compile(r"<Message>(.{0,300}?)</Message>", re.DOTALL)
_REGION: Final = re.compile(r"(?:<Region>|expecting (?:'|&#39;))([\w-]+)")
# Where the library's text has the innermost cause of a request without an answer.
_CAUSES: Final = (
    r"\b(?:InvalidCertificate|AlertReceived)\(\s*(\w+)",
    r'message: "([^"]{1,120})"',
    r'"dns error",\s*Custom \{\s*kind: \w+,\s*error: "([^"]{1,120})"',
    r"\bhyper::Error\(\s*(\w+)",  # such as IncompleteMessage: the connection ended
)
# Where a cloud tells its machines their keys; elsewhere a proxy may answer, and refuse.
_OF_MACHINE: Final = re.compile(
    r"Error performing \w+ http://169\.254\.169\.254/.*status code: 40[134]"
)
_CONFLICT: Final = 409
_ENDPOINT: Final = "--endpoint-url {endpoint} "  # of a program that is not ours
_WORDS_SHOWN: Final = 160  # characters of the store's own words in a message


class Again(Enum):
    """Whether the same request may succeed when it is sent again."""

    NEVER = "never"
    DENIED = "denied"  # rights are given late: a few times
    KEYS = "keys"  # … and keys are rotated: until there are new ones, if they may come
    SOON = "soon"  # the store is out of reach, or failed
    SLOWER = "slower"  # … and asks for fewer requests


class Place(NamedTuple):
    """What a message names: `http://127.0.0.1:9000`, `s3`, `bucket`, and the prefix of keys."""

    endpoint: str
    scheme: str
    bucket: str
    prefix: str
    way: str | None = None  # the command that says how it is reached, where `endpoint` is no URL

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")


class Refusal(NamedTuple):
    """What the store, or the way to it, has answered; status 0: there was no answer."""

    status: int
    code: str
    words: str
    text: str


_Row = tuple[Again, type[PymrError], str, str | None]  # … what happened, the next command

_DENIED: Final[_Row] = (
    Again.DENIED,
    StoreError,
    "the keys have no right to do that",
    "pymr doctor --store {place}   (a bucket whose readers pay: AWS_REQUEST_PAYER=true)",
)
_SECRET: Final[_Row] = (
    Again.KEYS,
    StoreError,
    "the secret key does not fit the access key",
    "export AWS_SECRET_ACCESS_KEY=…",
)
_EXPIRED: Final[_Row] = (
    Again.KEYS,
    StoreError,
    "the keys have expired, or are not valid",
    "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_SESSION_TOKEN=…",
)
_OF_S3: Final = "export AWS_ACCESS_KEY_ID="
_KEYS_OF_OTHERS: Final = {
    "gs": "export GOOGLE_APPLICATION_CREDENTIALS=FILE",
    "az": "export AZURE_STORAGE_ACCOUNT_NAME=… AZURE_STORAGE_ACCOUNT_KEY=…",
}
_REGION_ROW: Final[_Row] = (
    Again.NEVER,
    StoreError,
    "the bucket is in another region",
    "export AWS_REGION={region}   or   --region {region}",
)
_FULL: Final[_Row] = (
    Again.NEVER,
    StoreFullError,
    "the store has no room left",
    "pymr gc {place}   removes what no run needs",
)
_FLIPPED: Final[_Row] = (
    Again.SOON,
    StoreUnavailableError,
    "what arrived is not what was sent",
    None,
)
_SLOW: Final[_Row] = (Again.SLOWER, StoreUnavailableError, "the store is overloaded", None)

_BY_CODE: Final[dict[str, _Row]] = {
    "NoSuchBucket": (
        Again.NEVER,
        StoreError,
        "there is no bucket `{bucket}`",
        f"aws {_ENDPOINT}s3 mb s3://{{bucket}}",
    ),
    "InvalidBucketName": (Again.NEVER, StoreError, "`{bucket}` is no name of a bucket", None),
    "InvalidAccessKeyId": (
        Again.KEYS,
        StoreError,
        "the store does not know the access key",
        "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…",
    ),
    "SignatureDoesNotMatch": _SECRET,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "InvalidTokenId": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": (
        Again.NEVER,
        StoreError,
        "the clocks of this machine and of the store differ by too much",
        "timedatectl set-ntp true",
    ),
    "AuthorizationHeaderMalformed": _REGION_ROW,
    "PermanentRedirect": _REGION_ROW,
    "TemporaryRedirect": _REGION_ROW,
    "IllegalLocationConstraintException": _REGION_ROW,
    "InvalidObjectState": (
        Again.NEVER,
        StoreError,
        "the object is archived, and can be read only once it was restored",
        "aws s3api restore-object --restore-request Days=7 --bucket {bucket} --key {key}",
    ),
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "QuotaExceeded": _FULL,
    "XAmzContentSHA256Mismatch": _FLIPPED,
    "XAmzContentChecksumMismatch": _FLIPPED,
    "BadDigest": _FLIPPED,
    "IncompleteBody": _FLIPPED,
    "RequestTimeout": (Again.SOON, StoreUnavailableError, "the store waited for bytes", None),
    "SlowDown": _SLOW,
    "SlowDownRead": _SLOW,
    "SlowDownWrite": _SLOW,
    "RequestLimitExceeded": _SLOW,
    "Throttling": _SLOW,
    "ServiceUnavailable": _SLOW,
}
_BY_STATUS: Final[dict[int, _Row]] = {
    401: _DENIED,
    403: _DENIED,
    408: (Again.SOON, StoreUnavailableError, "the store waited for bytes", None),
    409: (Again.SOON, StoreUnavailableError, "another request was in the way", None),
    429: _SLOW,
    503: _SLOW,
    507: _FULL,
}
_BY_TEXT: Final[tuple[tuple[str, _Row], ...]] = (
    (
        r"NotValidForName|UnknownIssuer|invalid peer certificate|certificate",
        (
            Again.NEVER,
            StoreError,
            "the store's certificate is not one for its name, or by nobody who is trusted here",
            "export AWS_CA_BUNDLE=…   (or --endpoint with the name in the certificate)",
        ),
    ),
    (
        r"InvalidContentType|InvalidMessage|corrupt message",
        (Again.NEVER, StoreError, "the store does not speak TLS there", "--endpoint http://…"),
    ),
    (
        r"169\.254\.169\.254|latest/meta-data|instance credentials",
        (
            Again.NEVER,
            StoreError,
            "there are no keys for it in the environment, in files, or given by this machine",
            "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…",
        ),
    ),
    (r"redirect", _REGION_ROW),
    (r"\bAccess Denied\b", _DENIED),  # of one key among several that were to be deleted
)
_ENCRYPTED: Final[_Row] = (
    Again.NEVER,
    StoreError,
    "the object is encrypted with a key of its owner (SSE-C), expected one that the store can read",
    "aws s3 cp --sse-c … {object} …   makes a copy that can be read",
)


def refusal_of(error: BaseException) -> Refusal:
    """Return what the text of the library's error says."""
    text = str(error)
    if _OF_MACHINE.search(text):
        return Refusal(0, "", "", text)  # It was not the store that answered.
    status, code, words = _STATUS.search(text), _CODE.search(text), _WORDS.search(text)
    return Refusal(
        int(status[1]) if status else 0,
        code[1] if code else "",
        words[1] if words else "",
        text,
    )


def explained(error: BaseException, place: Place, key: str) -> tuple[PymrError, Again]:
    """Return the error to raise for one of the library, and whether trying again can help."""
    from obstore import exceptions

    told, shown = refusal_of(error), show_text(key)
    if isinstance(error, exceptions.AlreadyExistsError) and told.status != _CONFLICT:
        return ObjectExistsError(f"object `{shown}` exists, expected none", key=key), Again.NEVER
    if isinstance(error, exceptions.PreconditionError):
        changed = f"object `{shown}` is not as it was read"
        return ObjectChangedError(changed, key=key), Again.NEVER
    if isinstance(error, FileNotFoundError) and told.code != "NoSuchBucket":
        return ObjectMissingError(f"no object `{shown}` in {place}", key=key), Again.NEVER
    is_of_path = isinstance(error, ValueError) and "parse path" in told.text
    if is_of_path or isinstance(error, exceptions.InvalidPathError):
        what = f"the key `{shown}`" if shown else f"one of the keys in {place}"
        refused = f"{what} cannot be asked for: {show_text(_first_line(error))}"
        return StoreError(refused, key=key), Again.NEVER
    if not isinstance(error, (exceptions.BaseError, OSError)):
        raise error  # a bug of ours: no store has said that
    again, error_class, happened, hint = _row(told)
    region = _REGION.search(told.text)
    names = {
        "bucket": place.bucket,
        "endpoint": place.endpoint,
        "key": shlex.quote(f"{place.prefix}/{key}".strip("/")),
        "object": f"{place}/{shown}".rstrip("/"),
        "place": str(place),
        "region": region[1] if region else "…",
    }
    code = told.code or (f"status {told.status}" if told.status else _cause(told.text))
    words = f": {told.words[:_WORDS_SHOWN]}" if told.words else ""
    what = happened.format(**names)
    message = f"{names['object']} at {place.endpoint}: {what} (`{code}`{words})"
    if hint and hint.startswith(_OF_S3):
        hint = _KEYS_OF_OTHERS.get(place.scheme, hint)
    if hint and place.way and _ENDPOINT in hint:
        hint = f"{place.way}   says how it is reached, then   {hint.replace(_ENDPOINT, '')}"
    return (
        error_class(show_text(message), hint=hint and hint.format(**names), key=key, code=code),
        again,
    )


def _row(told: Refusal) -> _Row:
    if told.code in _BY_CODE:
        return _BY_CODE[told.code]
    if re.search(r"server.side encryption|SSE-C|customer", told.words, re.IGNORECASE):
        return _ENCRYPTED
    if told.status in _BY_STATUS:
        return _BY_STATUS[told.status]
    for pattern, row in _BY_TEXT:
        if not told.status and re.search(pattern, told.text):
            return row
    is_of_network = not told.status and "Generic InMemory error" not in told.text
    if is_of_network or told.status >= 500:  # noqa: PLR2004 - the server's own
        return (Again.SOON, StoreUnavailableError, "the store does not answer", None)
    return (Again.NEVER, StoreError, "the store refused the request", None)


def _cause(text: str) -> str:
    """Return the innermost cause that the library tells of a request without an answer."""
    for pattern in _CAUSES:
        if found := re.findall(pattern, text):
            return str(found[-1])
    return _first_line_of(text)


def _first_line(error: BaseException) -> str:
    return _first_line_of(str(error))


def _first_line_of(text: str) -> str:
    return text.partition("\n")[0][:_WORDS_SHOWN]
