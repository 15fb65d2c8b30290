"""What `pymr doctor --on kubernetes` looks at: what a run in pods needs, each with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from lightkube.resources.core_v1 import Node
from lightkube.resources.storage_v1 import StorageClass
from lightkube.utils.quantity import parse_quantity

from pymr.config import Settings
from pymr.doctor.examination import Examine, Subject, examine_named_store, examine_settings
from pymr.doctor.finding import Area, Finding
from pymr.doctor.installation import examine_installation
from pymr.errors import ClusterError, PymrError
from pymr.kubernetes.images.builder import find_builder
from pymr.kubernetes.images.load import choose_loader
from pymr.kubernetes.images.nodes import Nodes, read_nodes
from pymr.kubernetes.kube import Kube, open_kube
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.run import MASTER_NEEDS, WORKER_NEEDS
from pymr.kubernetes.outside import outside_store, refuse_lone_endpoint
from pymr.kubernetes.permission import FOR_RUN, FOR_STORAGE, Need, missing
from pymr.kubernetes.probe import Seen, image_for_probe, look_around
from pymr.kubernetes.storage import find_storage
from pymr.kubernetes.version import read_version, require_version
from pymr.observe.quantity import show_many, show_size
from pymr.store.credentials import access_of

_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_AREA: Final = Area("cluster")


def examine_cluster(subject: Subject) -> Iterator[Finding]:
    """Yield how the cluster of the settings is; without one that answers there is nothing else."""
    settings = subject.settings
    memory_bytes = WORKER_NEEDS.memory_bytes
    if "memory" in subject.given:
        memory_bytes = settings.memory_bytes
    try:
        kube = open_kube(settings.context, settings.namespace)
    except ClusterError as error:
        yield _broken("context", error)
        return
    with kube:
        try:
            require_version(kube)
            text = f"{kube.context}, namespace {kube.namespace}, Kubernetes {read_version(kube)}"
            yield _AREA.ok("context", text)
        except ClusterError as error:
            yield _broken("context", error)
            return
        nodes = Nodes()
        needs = FOR_RUN if settings.store is not None else {*FOR_STORAGE, *FOR_RUN}
        yield from _told("permissions", lambda: _permissions(kube, needs))
        yield from _told("storage", lambda: _storage(kube, settings))
        try:
            nodes = read_nodes(kube)
        except ClusterError as error:
            yield _broken("nodes", error)
        yield from _told("images", lambda: _images(kube, nodes, settings))
        yield from _told("room", lambda: _room(kube, settings.workers, memory_bytes))
        yield from _told("network", lambda: _network(kube, nodes, subject))


def _told(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except PymrError as error:
        yield _broken(name, error)


def _broken(name: str, error: PymrError) -> Finding:
    return _AREA.broken(name, error.message, error.hint, type(error))


def _permissions(kube: Kube, needs: Iterable[Need]) -> Iterator[Finding]:
    lacking = missing(kube, needs)
    if lacking:
        listed = ", ".join(f"`{need}`" for need in lacking)
        remedy = "pymr render --part role   prints a Role that an administrator can apply"
        yield _AREA.broken("permissions", f"this user may not {listed}", remedy, ClusterError)
        return
    yield _AREA.ok("permissions", "this user may do all that a run needs, and what it is kept in")


def _storage(kube: Kube, settings: Settings) -> Iterator[Finding]:
    refuse_lone_endpoint(settings)
    if settings.store is not None:
        yield _AREA.ok("storage", f"{settings.store} is used, and no MinIO of the namespace")
        return
    storage = find_storage(kube)
    if storage is not None:
        yield _AREA.ok("storage", f"MinIO is there, its volume is {storage.volume or 'unknown'}")
        return
    with kube.asking("list storage classes"):
        classes = list(kube.client.list(StorageClass))
    default = [each for each in classes if _is_default(each)]
    if default and default[0].metadata is not None:
        name = default[0].metadata.name
        yield _AREA.ok("storage", f"none yet; its volume will be of class `{name}`")
        return
    named = ", ".join(f"`{each.metadata.name}`" for each in classes if each.metadata) or "none"
    yield _AREA.broken(
        "storage",
        f"no storage class is the default, and storage needs a volume; there is {named}",
        "pymr up --storage-class NAME",
        ClusterError,
    )


def _is_default(each: StorageClass) -> bool:
    annotations = (each.metadata.annotations or {}) if each.metadata is not None else {}
    return annotations.get(_DEFAULT_CLASS) == "true"


def _images(kube: Kube, nodes: Nodes, settings: Settings) -> Iterator[Finding]:
    if settings.master_image is not None and settings.worker_image is not None:
        yield _AREA.ok("images", f"{settings.master_image}, {settings.worker_image}")
        return
    builder = find_builder(settings.builder)
    loader = choose_loader(kube.context, nodes, settings.load, settings.registry)
    kinds = ", ".join(sorted(nodes.architectures)) or "unknown"
    yield _AREA.ok(
        "images",
        f"{builder.name} builds, {loader.name} {loader.target} brings them to nodes ({kinds})",
    )


def _room(kube: Kube, workers: int, memory_bytes: int) -> Iterator[Finding]:
    """Compare what the nodes have, all pods of others away, with what is asked for."""
    with kube.asking("list nodes"):
        nodes = list(kube.client.list(Node))
    largest = total = 0
    for node in nodes:
        allocatable = (node.status.allocatable or {}) if node.status is not None else {}
        has_bytes = int(parse_quantity(allocatable.get("memory")) or 0)
        largest, total = max(largest, has_bytes), total + has_bytes
    asked = workers * memory_bytes + MASTER_NEEDS.memory_bytes
    there = f"{show_many(len(nodes), 'node')} with {show_size(total)}"
    text = f"{there}, the largest with {show_size(largest)}"
    wanted = f"{show_many(workers, 'worker')} of {show_size(memory_bytes)} and a master"
    if memory_bytes > largest:
        remedy = f"--memory {show_size(largest // 2).replace(' ', '')[:-1]}"
        yield _AREA.broken("room", f"{text}; no worker fits of {wanted}", remedy, ClusterError)
    elif asked > total:
        yield _AREA.warning("room", f"{text}; not all fit of {wanted}", "--workers   fewer")
    else:
        yield _AREA.ok("room", f"{text}, for {wanted}")


def _network(kube: Kube, nodes: Nodes, subject: Subject) -> Iterator[Finding]:
    image = image_for_probe(nodes)
    is_own = subject.settings.store is None
    if image is None or (is_own and find_storage(kube) is None):
        what = "no image of ours on all nodes" if image is None else "no storage"
        text = f"names and policies were not tried: there is {what} yet"
        yield _AREA.warning("network", text, "pymr start --on kubernetes …   and then this again")
        return
    store = (labels.storage_host(kube.namespace), labels.STORAGE_PORT)
    where = store if is_own else _outside(subject)
    try:
        seen = look_around(kube, image, where)
    except ClusterError as error:  # It is a question alone, and may need a right that no run needs.
        yield _AREA.warning("network", f"was not tried: {error.message}", error.hint)
        return
    if seen.names is not None:
        text = f"pods cannot look up names of the cluster: {seen.names}"
        remedy = f"kubectl --context {kube.context} -n kube-system get pods -l k8s-app=kube-dns"
        yield _AREA.broken("names", text, remedy, ClusterError)
    else:
        yield _AREA.ok("names", "pods look up names of the cluster")
    if where is not None:
        yield _policies(seen) if is_own else _reach(seen, *where)


def _outside(subject: Subject) -> tuple[str, int] | None:
    """Return host and port of a store that the user has; None: only Amazon knows them."""
    access = access_of(subject.settings, subject.environ, subject.home)
    host = urlsplit(access.endpoint or "").hostname
    return None if host is None else (host, outside_store(access).port)


def _reach(seen: Seen, host: str, port: int) -> Finding:
    if seen.storage is None:
        return _AREA.ok("reach", f"pods reach the store at {host}:{port}")
    # Those of a run may, if it is a policy that forbids it: they have their own.
    remedy = "--endpoint URL   of the store, as this machine and the pods reach it"
    text = f"a pod does not reach the store at {host}:{port}: {seen.storage}"
    return _AREA.warning("reach", text, remedy)


def _policies(seen: Seen) -> Finding:
    if seen.storage is None:
        return _AREA.warning(
            "policies",
            "NetworkPolicies are not enforced: any pod reaches the storage, and asks for its keys",
            "a network plugin that enforces them, such as Calico or Cilium",
        )
    return _AREA.ok("policies", "NetworkPolicies are enforced: a pod of others reaches nothing")


A_CLUSTER: tuple[Examine, ...] = (
    lambda _: examine_installation(),
    examine_settings,
    examine_named_store,
    examine_cluster,
)
