"""How a machine outside of a cluster reaches the storage inside: a port, and its owner's keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import msgspec

from pymr.errors import ClusterError
from pymr.kubernetes.forward import Forward
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.storage import Storage, find_storage, target_of
from pymr.store.access import Access


def known_storage(kube: Kube) -> Storage:
    """Return the storage of a namespace.

    Raises:
        ClusterError: there is none, or this user may not look.
    """
    storage = find_storage(kube)
    if storage is None:
        raise ClusterError(
            f"namespace `{kube.namespace}` of context `{kube.context}` has no storage of PyMR",
            hint=f"pymr up --namespace {kube.namespace} --context {kube.context}",
        )
    return storage


@contextmanager
def reached(kube: Kube, storage: Storage, *, wait_s: float) -> Iterator[Access]:
    """Have the storage reached from here, as long as the block lasts.

    `wait_s` is how long it may be out of reach at a time.

    Raises:
        ClusterError: there is no way there.
    """
    with reaching(kube, storage, wait_s=wait_s) as arrive:
        yield arrive()


@contextmanager
def reaching(kube: Kube, storage: Storage, *, wait_s: float) -> Iterator[Callable[[], Access]]:
    """Set out for the storage, as `reached`; what is given waits for kubectl, 0.25 s.

    Raises:
        ClusterError: there is no kubectl; or, when it is waited for, no way there.
    """

    def arrive() -> Access:
        access = storage.access(forward.open().endpoint)
        return msgspec.structs.replace(access, storage_wait_s=wait_s)

    with closing(Forward(target_of(kube)).begin()) as forward:
        yield arrive
