"""Has the storage of a namespace there and ready, or removes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.storage import VOLUME_BYTES


@dataclass(frozen=True)
class Storage:
    """Storage that is ready. Its root credential is in no repr."""

    endpoint: str  # inside of the cluster
    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class StorageWish:
    """What storage is wanted; it is asked for, and of one that is there nothing is changed."""

    image: str
    volume_bytes: int = VOLUME_BYTES
    storage_class: str | None = None
    ready_s: float = 300.0


Say = Callable[[str], None]


def ensure_storage(kube: Kube, wish: StorageWish, say: Say) -> Storage:
    """Have the storage there, ready, with its bucket; may be repeated.

    Raises:
        ClusterError: refused, or it is not ready in time; the message says why.
    """
    raise NotImplementedError


def remove_storage(kube: Kube, *, purge: bool) -> list[str]:
    """Remove the storage and return what was removed; its data stays unless `purge`.

    Raises:
        ClusterError: refused.
    """
    raise NotImplementedError
