"""What the pods of a run have printed, kept in its store: they outlive the pods."""

from __future__ import annotations

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
LAST_LINES: Final = 20


def keep_logs(kube: Kube, found: FoundRun, place: Place) -> None:
    """Put the log of each pod that is there into the store of the run. Best effort.

    `place` is that of the run, with the patience that logs are worth.
    """
    with suppress(PymrError):
        for pod in kube.list(Pod, labels.run_selector(found.run)):
            name = str(pod.metadata.name) if pod.metadata is not None else ""
            body = read_log(kube, name)
            if body:
                with suppress(PymrError):
                    place.objects.replace(pod_log_key(found.run, name), body)


def read_log(kube: Kube, pod: str, *, lines: int | None = None) -> bytes:
    """Return the end of what a pod has printed; nothing, if nobody knows."""
    body = b""
    with suppress(ApiError, httpx2.HTTPError):  # It is gone, or has not begun.
        for line in kube.client.log(pod, namespace=kube.namespace, tail_lines=lines):
            body = (body + line.encode())[-LOG_BYTES_MAX:]
    return body


def last_words(kube: Kube, run: str) -> str | None:
    """Return what the last master of a run has said at its end."""
    with suppress(PymrError):
        pods = kube.list(Pod, labels.run_selector(run, "master"))
        pods.sort(key=lambda pod: str(pod.metadata and pod.metadata.creationTimestamp))
        if pods and pods[-1].metadata is not None:
            body = read_log(kube, str(pods[-1].metadata.name), lines=LAST_LINES)
            return body.decode("utf-8", "replace").rpartition("✗ ")[2].strip() or None
    return None
