"""What the pods of a run have printed, kept in its store: they outlive the pods."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final

import httpx2
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Pod

from pymr.errors import PymrError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.names import pod_log_key
from pymr.runner.find import FoundRun
from pymr.store.place import Place

LOG_BYTES_MAX: Final = 2 << 20  # of one pod, its end


def keep_logs(kube: Kube, found: FoundRun, place: Place) -> None:
    """Put the log of each pod that is there into the store of the run. Best effort.

    `place` is that of the run, with the patience that logs are worth.
    """
    with suppress(PymrError):
        for pod in kube.list(Pod, labels.run_selector(found.run)):
            name = str(pod.metadata.name) if pod.metadata is not None else ""
            body = read_log(kube, name, component_of(pod))
            if body:
                with suppress(PymrError):
                    place.objects.replace(pod_log_key(found.run, name), body)


def component_of(pod: Pod) -> str | None:
    """Return the name of our container in a pod, which may have got others by its cluster."""
    about = pod.metadata.labels if pod.metadata is not None else None
    return (about or {}).get(labels.COMPONENT)


def read_log(kube: Kube, pod: str, container: str | None = None) -> bytes:
    """Return the end of what a container has printed; nothing, if nobody knows.

    None: the only one of its pod.
    """
    said: deque[bytes] = deque()
    size = 0
    with suppress(ApiError, httpx2.HTTPError):  # It is gone, or has not begun.
        for line in kube.client.log(pod, namespace=kube.namespace, container=container):
            said.append(line.encode())
            size += len(said[-1])
            while size - len(said[0]) >= LOG_BYTES_MAX:
                size -= len(said.popleft())
    return b"".join(said)[-LOG_BYTES_MAX:]
