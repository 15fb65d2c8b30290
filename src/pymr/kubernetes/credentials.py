"""Keys of the store for the pods of one run: each role may do what it does, and nothing else.

    owner's keys ─► AssumeRole with a policy ─┬─► master    all of the output, and reads inputs
                                              └─► worker    writes attempts, and reads

The keys end by themselves. A worker, whose pods run the user's code, cannot list, delete, or touch
a decision: the journal, the claim, the manifest and the parts are out of its reach. The store must
have MinIO's `AssumeRole`, by which an owner makes keys that can do less
(https://github.com/minio/minio/blob/master/docs/sts/assume-role.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from os.path import commonprefix
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from pymr.cluster.address import is_of_this_machine
from pymr.cluster.certificate import VALID_S
from pymr.errors import ClusterError, ConfigError, StoreUnavailableError
from pymr.names import MANIFEST, run_prefix
from pymr.store.access import Access, Address, parse_address
from pymr.store.signature import Signer
from pymr.store.signed_request import opener_of

Role = Literal["master", "worker"]
POLICY_BYTES_MAX: Final = 2048  # MinIO's, of a session
_KEYS_BYTES_MAX: Final = 1 << 20
_KEYS_SILENCE_S: Final = 10.0
_WRITTEN_BY_WORKERS: Final = ("map-", "reduce-", "bad-", "logs/", "told/")
_WRITE: Final = ("s3:PutObject", "s3:AbortMultipartUpload")
_SPECIAL: Final = re.compile(r"[*?$]")  # in a policy
_FIELDS: Final = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]+)</")
_ERROR: Final = re.compile(r"<(Code|Message)>([^<]*)</")


class Scope(NamedTuple):
    """What the keys of a run are for: its output, and its inputs, which are addresses as well."""

    run: str
    output: str
    inputs: tuple[str, ...] = ()


def policy_of(role: Role, scope: Scope) -> str:
    """Return what a role of a run may do in the store, as JSON.

    Many inputs are one prefix of each bucket, so that they fit into POLICY_BYTES_MAX.

    Raises:
        ConfigError: they do not, as the address of the output is too long.
    """
    output = parse_address(scope.output)
    rules = [_allow(("s3:GetObject",), _prefixes(scope.inputs))] if scope.inputs else []
    rules += _of_master(output) if role == "master" else _of_worker(output, scope.run)
    text = json.dumps({"Version": "2012-10-17", "Statement": rules}, separators=(",", ":"))
    if len(text) > POLICY_BYTES_MAX:
        raise ConfigError(
            f"output `{scope.output}` is too long for the keys of a run: what they may do takes"
            f" {len(text)} bytes, expected at most {POLICY_BYTES_MAX}",
            hint="--output s3://bucket/out   with a shorter prefix",
        )
    return text


def _of_master(output: Address) -> list[dict[str, Any]]:
    listing = _allow(("s3:ListBucket",), (output.bucket,))
    prefix = _plain(_joined(output, ""))
    if prefix:
        prefixes = [prefix.rstrip("/"), f"{prefix}*"]
        listing["Condition"] = {"StringLike": {"s3:prefix": prefixes}}
    return [
        listing,
        _allow(
            ("s3:GetObject", *_WRITE, "s3:DeleteObject", "s3:ListMultipartUploadParts"),
            (f"{output.bucket}/{prefix}*",),
        ),
        _allow(("s3:GetBucketLocation", "s3:ListBucketMultipartUploads"), (output.bucket,)),
    ]


def _of_worker(output: Address, run: str) -> list[dict[str, Any]]:
    top = f"{output.bucket}/{_plain(_joined(output, ''))}"
    own = f"{top}{run_prefix(run)}"
    return [
        _allow(("s3:GetObject",), (f"{own}/*", f"{top}{MANIFEST}")),
        _allow(_WRITE, [f"{own}/{name}*" for name in _WRITTEN_BY_WORKERS]),
    ]


def _allow(actions: Iterable[str], names: Iterable[str]) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{name}" for name in names]
    return {"Effect": "Allow", "Action": [*actions], "Resource": resources}


def _joined(address: Address, key: str) -> str:
    prefix = address.prefix.strip("/")
    return f"{prefix}/{key}" if prefix else key


def _plain(prefix: str) -> str:
    """Return a prefix for a policy, where `*` is any text, and `?` any character."""
    return _SPECIAL.sub("?", prefix)


def _prefixes(inputs: Iterable[str]) -> list[str]:
    """Return for each bucket what the keys of all its inputs begin with."""
    keys: dict[str, list[str]] = {}
    for address in map(parse_address, inputs):
        keys.setdefault(address.bucket, []).append(address.prefix)
    # Keys are text, not paths: what they begin with may end inside of a name.
    common = {where: commonprefix(found) for where, found in keys.items()}  # noqa: RUF071
    return [f"{where}/{_plain(prefix)}*" for where, prefix in common.items()]


def scoped(owner: Access, role: Role, scope: Scope, *, valid_s: float = VALID_S) -> Access:
    """Return keys of the store for one role of a run, which end after `valid_s`.

    `owner` has keys, and an endpoint. Whose keys were made so itself is given none.

    Raises:
        ClusterError: the store does not give them.
        StoreUnavailableError: it does not answer.
    """
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request

    assert owner.endpoint is not None, "who gives keys of a run has one"
    asked = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "DurationSeconds": str(int(valid_s)),
        "Policy": policy_of(role, scope),
    }
    body = urlencode(asked).encode()
    digest = hashlib.sha256(body).hexdigest()
    target = urlsplit(owner.endpoint)
    signer = Signer(owner, target.netloc, "sts")
    headers = {
        **signer.headers("POST", "/", digest=digest),
        "content-type": "application/x-www-form-urlencoded",
    }
    # A port that leads into a cluster is of this machine: no proxy gets there.
    proxies = [ProxyHandler({})] if is_of_this_machine(target.hostname or "") else []
    request = Request(f"{owner.endpoint}/", body, headers)  # noqa: S310 - an endpoint is of HTTP
    try:
        with opener_of(owner, *proxies).open(request, timeout=_KEYS_SILENCE_S) as answer:
            told = answer.read(_KEYS_BYTES_MAX).decode()
    except HTTPError as error:
        told = error.read(_KEYS_BYTES_MAX).decode(errors="replace")
        raise _refused(owner.told_endpoint, role, error.code, told) from error
    except (URLError, OSError) as error:
        why = getattr(error, "reason", None) or error
        raise StoreUnavailableError(
            f"the store at {owner.told_endpoint} does not answer: {why}", key=""
        ) from error
    found = dict(_FIELDS.findall(told))
    if len(found) < 3:  # noqa: PLR2004 - the fields above
        raise _refused(owner.told_endpoint, role, 200, told)
    return msgspec.structs.replace(
        owner,
        access_key_id=found["AccessKeyId"],
        secret_access_key=found["SecretAccessKey"],
        session_token=found["SessionToken"],
        credentials_file=None,
    )


def _refused(endpoint: str | None, role: Role, status: int, told: str) -> ClusterError:
    words = dict(_ERROR.findall(told))
    code = words.get("Code") or f"status {status}"
    said = f": {words['Message']}" if words.get("Message") else ""
    return ClusterError(
        f"the store at {endpoint} gives no keys for the {role} of a run (`{code}`{said}), expected"
        " MinIO's AssumeRole",
        hint="pymr up",
        code=code,
    )
