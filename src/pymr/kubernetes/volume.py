"""How full the volume of a namespace's storage is: MinIO says so to its owner.

A volume that is full is told by nobody else. What the cluster knows of a claim is its size, which
not all clusters hold it to, and what its nodes know of it is not for whoever runs a job.
"""

from __future__ import annotations

from http.client import HTTPException
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from pymr.config.value import spell_size
from pymr.errors import ResourceError, TaskMemoryError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.store.access import Access
from pymr.store.signature import Signer
from pymr.store.signed_request import opener_of

FULL_SHARE: Final = 0.9  # of the volume: less is no reason for a store to have no room
KEPT_SHARE: Final = 0.01  # of its disk, which MinIO leaves free
_INFO: Final = "/minio/admin/v3/storageinfo"  # what `mc admin info` asks for
_VOLUME_BYTES_MAX: Final = 16 << 20
_VOLUME_SILENCE_S: Final = 10.0


class Volume(NamedTuple):
    """The volume of a storage; `free_bytes` are those that objects can have."""

    total_bytes: int
    used_bytes: int
    free_bytes: int

    @property
    def is_full(self) -> bool:
        """Whether that is why a store has no room."""
        return self.used_bytes >= FULL_SHARE * self.total_bytes


class _Disk(msgspec.Struct):
    """MinIO leaves out what is 0: a full disk has no `availspace`."""

    totalspace: int = 0
    usedspace: int = 0
    availspace: int = 0


class _Told(msgspec.Struct):
    disks: tuple[_Disk, ...] = msgspec.field(name="Disks")


def read_volume(owner: Access) -> Volume | None:
    """Return how full the volume is; None: MinIO does not say. `owner` has the storage's keys."""
    from urllib.request import ProxyHandler, Request

    assert owner.endpoint is not None, "the storage of a namespace has one"
    headers = Signer(owner, urlsplit(owner.endpoint).netloc).headers("GET", _INFO)
    request = Request(f"{owner.endpoint}{_INFO}", headers=headers)  # noqa: S310 - it is of HTTP
    try:
        with opener_of(owner, ProxyHandler({})).open(request, timeout=_VOLUME_SILENCE_S) as answer:
            return parse_volume(answer.read(_VOLUME_BYTES_MAX))
    except (OSError, HTTPException):
        return None


def parse_volume(told: bytes) -> Volume | None:
    """Return what MinIO's answer says of its disks; None: nothing that is understood."""
    try:
        disks = msgspec.json.decode(told, type=_Told).disks
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    total = sum(disk.totalspace for disk in disks)
    free = sum(disk.availspace for disk in disks) - int(total * KEPT_SHARE)
    used = sum(disk.usedspace for disk in disks)
    return Volume(total, used, max(free, 0)) if total > 0 else None


def tell_full_volume(error: ResourceError, kube: Kube, owner: Access) -> None:
    """Have an error say that the volume of the storage is full, if it is."""
    volume = None if isinstance(error, TaskMemoryError) else read_volume(owner)
    if volume is None or not volume.is_full:
        return
    claim, share = labels.STORAGE_CLAIM, round(100 * volume.used_bytes / volume.total_bytes)
    size = spell_size(volume.total_bytes)
    full = f"claim `{claim}` of namespace `{kube.namespace}` is full, {share} % of {size}"
    error.message = f"{full}: {error.message}"
    error.args = (error.message,)
    error.hint = "pymr gc --yes   removes what no run needs"
    error.fields |= {
        "claim": claim,
        "used_bytes": volume.used_bytes,
        "had_bytes": volume.total_bytes,
    }
