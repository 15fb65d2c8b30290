"""A pod that looks around in the cluster: names, and whether policies are enforced.

It is hardened as ours are, carries no label that a policy lets through to the storage, runs for a
moment, and is removed.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from typing import Final

import msgspec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from pymr.errors import ClusterError
from pymr.kubernetes.images.nodes import Nodes
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.news import News, Wanted
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.pod import MiB, Needs, Program, hardened_template
from pymr.kubernetes.pod_logs import read_log
from pymr.kubernetes.trouble import has_ended, pod_trouble

PROBE_S: Final = 60.0
_PROBED_S: Final = 3
PROBE_LOOK_S: Final = 1.0
_NEEDS: Final = Needs(
    cpu_milli=50, memory_bytes=64 * MiB, disk_bytes=16 * MiB, disk_bytes_max=64 * MiB
)
_SCRIPT: Final = f"""
import json, socket, sys
where = sys.argv[1:]
def ask(do, *what):
    try:
        do(*what)
        return None
    except OSError as error:
        return str(error)
names = ask(socket.getaddrinfo, "kubernetes.default.svc", 443)
storage = ask(socket.create_connection, (where[0], int(where[1])), {_PROBED_S}) if where else None
print(json.dumps({{"names": names, "storage": storage}}))
"""


class Seen(msgspec.Struct, frozen=True):
    """What the pod has found: why not, None where it could."""

    names: str | None  # look up a name of the cluster
    storage: str | None  # reach the store; that of the namespace policies forbid it


def image_for_probe(nodes: Nodes) -> str | None:
    """Return an image of ours that all nodes have; None: there is none yet."""
    shared = frozenset.intersection(*nodes.images) if nodes.images else frozenset()
    return max((name for name in shared if "/pymr-master:" in name), default=None)


def look_around(kube: Kube, image: str, store: tuple[str, int] | None) -> Seen:
    """Run the pod, and return what it has found; `store`: host and port, None: nobody knows them.

    Raises:
        ClusterError: it is refused, does not start, or says nothing within PROBE_S.
    """
    name = f"pymr-probe-{secrets.token_hex(4)}"
    where = () if store is None else (store[0], str(store[1]))
    program = Program(
        name="probe",
        image=image,
        command=("python3", "-c", _SCRIPT, *where),
        needs=_NEEDS,
        environment={},
        ports={},
    )
    common = labels.common_labels()
    template = hardened_template(program, common, restart="Never")
    try:
        kube.create(Pod(metadata=ObjectMeta(name=name, labels=common), spec=template.spec))
        _wait(kube, name)
        return msgspec.json.decode(read_log(kube, name), type=Seen)
    except msgspec.MsgspecError as error:
        raise ClusterError(
            f"the pod `{name}` has not said what it sees", hint=kube.told.kubectl("get events")
        ) from error
    finally:
        with suppress(ClusterError):
            kube.delete(Pod, name, grace_s=0)


def _wait(kube: Kube, name: str) -> None:
    deadline = time.monotonic() + PROBE_S
    trouble = None
    with News(kube, Wanted(Pod, fields={"metadata.name": name})) as news:
        while time.monotonic() < deadline:
            item = news.next(PROBE_LOOK_S)
            if item is None:
                continue
            trouble = pod_trouble(item.object, kube.told)
            if has_ended(item.object):
                return
    raise ClusterError(
        f"the pod `{name}` does not start: {trouble.text if trouble else 'nobody says why'}",
        hint=trouble.hint if trouble else kube.told.kubectl(f"describe pod {name}"),
    )
