"""Has the storage of a namespace there and ready, or removes it.

    namespace, rights ─► Secret, claim, policy, Service, StatefulSet ─► ready ─► its bucket

Storage that is there is used as it is: an upgrade would end it under the runs that use it, so only
`pymr up` does that. Objects of these names that are not ours are left alone.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import PersistentVolumeClaim, Pod, Secret, Service
from lightkube.resources.storage_v1 import StorageClass

from pymr.config.setting import DEFAULT_STORE
from pymr.errors import ClusterError
from pymr.kubernetes.forward import Forward, Target
from pymr.kubernetes.kube import Kube, kind_name
from pymr.kubernetes.limits import container_limits, fit_cpu
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.storage import (
    PASSWORD_KEY,
    STORAGE_NEEDS,
    USER_KEY,
    VOLUME_BYTES,
    StorageObjects,
)
from pymr.kubernetes.permission import FOR_STORAGE
from pymr.kubernetes.preflight import Say, make_ready
from pymr.kubernetes.storage_wait import POD, STORAGE_READY_S, is_ready, wait_ready
from pymr.store.access import Access, Way
from pymr.store.root import ensure_root
from pymr.text_form import show_text

REGION: Final = "us-east-1"  # MinIO's own
PASSWORD_LENGTH_MIN: Final = 16
WEAK: Final = frozenset({"minioadmin", "rustfsadmin", "admin", "any", "password"})
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_KINDS: Final = (Secret, PersistentVolumeClaim, Service, StatefulSet)
_NAMES: Final = {
    Secret: labels.STORAGE_SECRET,
    PersistentVolumeClaim: labels.STORAGE_CLAIM,
    Service: labels.STORAGE_NAME,
    StatefulSet: labels.STORAGE_NAME,
}


@dataclass(frozen=True)
class Storage:
    """Storage that is ready. Its root credential is in no repr."""

    endpoint: str  # inside of the cluster
    way: Way  # what is told of it: a port that leads there is closed when anybody reads that
    user: str = field(repr=False)
    password: str = field(repr=False)
    volume: str | None = None  # its size, as the cluster writes it

    def access(self, endpoint: str) -> Access:
        """Return how its owner reaches it at `endpoint`, which leads there from this machine."""
        return Access(
            endpoint=endpoint,
            region=REGION,
            access_key_id=self.user,
            secret_access_key=self.password,
            way=self.way,
        )


@dataclass(frozen=True, kw_only=True)
class StorageWish:
    """What storage is wanted. `image` is asked for if it is needed: it may have to be built."""

    image: Callable[[], str]
    volume_bytes: int = VOLUME_BYTES
    storage_class: str | None = None
    ready_s: float = STORAGE_READY_S
    is_upgrade: bool = False  # storage that is there gets the image, too


def ensure_storage(kube: Kube, wish: StorageWish, say: Say) -> Storage:
    """Have the storage there, ready, with its bucket; may be repeated, by several at once.

    Raises:
        ClusterError: refused, or it is not ready in time; the message says why.
        ResourceError: … or its image cannot be built.
    """
    if not wish.is_upgrade and (found := _ready_storage(kube)) is not None:
        return found
    make_ready(kube, FOR_STORAGE, "have storage", say)
    _refuse_foreign(kube)
    if kube.get(PersistentVolumeClaim, labels.STORAGE_CLAIM) is None:
        _refuse_no_class(kube, wish.storage_class)
    image = wish.image()  # First what may fail; nothing is there yet.
    user, password = _root_credential(kube)
    objects = StorageObjects(
        image=image,
        user=user,
        password=password,
        volume_bytes=wish.volume_bytes,
        storage_class=wish.storage_class,
        needs=fit_cpu(STORAGE_NEEDS, container_limits(kube)),
    )
    before = kube.get(StatefulSet, labels.STORAGE_NAME)
    if before is None:
        say("storage: MinIO is started")
    if before is None or wish.is_upgrade:
        _apply(kube, objects)
    if before is not None and wish.is_upgrade and _is_changed(kube, before):
        say("storage: MinIO is upgraded")
    wait_ready(kube, wish.ready_s, say)
    storage = find_storage(kube)
    if storage is None:
        raise ClusterError(
            f"the storage of namespace `{kube.namespace}` was removed meanwhile", hint="pymr up"
        )
    with Forward(target_of(kube)) as forward:
        ensure_root(DEFAULT_STORE, storage.access(forward.endpoint))
    return storage


def _ready_storage(kube: Kube) -> Storage | None:
    """Return storage that is there and takes requests; None, too, if this user may not look."""
    try:
        found = find_storage(kube)
        return found if is_ready(kube.get(Pod, POD)) else None
    except ClusterError as error:
        if error.fields.get("verb") is None:
            raise
        return None  # All rights that are missing are told at once.


def find_storage(kube: Kube) -> Storage | None:
    """Return the storage of the namespace; None: there is none that is ours.

    Raises:
        ClusterError: refused, or its root credential is one that can be guessed.
    """
    stateful_set = kube.get(StatefulSet, labels.STORAGE_NAME)
    if stateful_set is None or not labels.is_ours(stateful_set):
        return None
    secret = kube.get(Secret, labels.STORAGE_SECRET)
    if secret is None:
        return None
    user, password = _credential_of(secret)
    claim = kube.get(PersistentVolumeClaim, labels.STORAGE_CLAIM)
    capacity = claim.status.capacity if claim is not None and claim.status is not None else None
    volume = str(capacity["storage"]) if capacity and "storage" in capacity else None
    way = Way(
        f"the storage of namespace `{kube.namespace}` of `{kube.context}`",
        f"pymr store --context {kube.context} --namespace {kube.namespace}",
    )
    return Storage(labels.storage_endpoint(kube.namespace), way, user, password, volume)


def target_of(kube: Kube) -> Target:
    """Return what a port of this machine is led to."""
    name = f"service/{labels.STORAGE_NAME}"
    return Target(kube.context, kube.namespace, name, labels.STORAGE_PORT)


def _apply(kube: Kube, objects: StorageObjects) -> None:
    """Apply all but what is there for good: the Secret, and the claim, which cannot be changed."""
    has_claim = kube.get(PersistentVolumeClaim, labels.STORAGE_CLAIM) is not None
    for each in objects.render():
        if isinstance(each, Secret) or (has_claim and isinstance(each, PersistentVolumeClaim)):
            continue
        kube.apply(each)


def _is_changed(kube: Kube, before: StatefulSet) -> bool:
    """Say whether storage is another now than it was: a generation counts changes of the wish."""
    after = kube.get(StatefulSet, labels.STORAGE_NAME)
    metas = [each.metadata for each in (before, after) if each is not None]
    return len({meta.generation for meta in metas if meta is not None}) > 1


def new_credential() -> tuple[str, str]:
    """Return user and password of an owner, by chance."""
    return f"pymr-{secrets.token_hex(6)}", secrets.token_hex(32)


def _root_credential(kube: Kube) -> tuple[str, str]:
    """Return user and password of the storage's owner; new ones if it has none."""
    user, password = new_credential()
    new = StorageObjects(image="", user=user, password=password).secret()
    secret = kube.get(Secret, labels.STORAGE_SECRET)
    if secret is None:
        try:
            secret = kube.create(new)
        except ClusterError as error:
            if error.fields.get("reason") != "AlreadyExists":  # Another `up` was faster.
                raise
            secret = kube.get(Secret, labels.STORAGE_SECRET)
    return _credential_of(secret if secret is not None else new)


def _credential_of(secret: Secret) -> tuple[str, str]:
    data = secret.data or {}
    try:
        user, password = (base64.b64decode(data[key]).decode() for key in (USER_KEY, PASSWORD_KEY))
    except (KeyError, ValueError) as error:
        raise ClusterError(
            f"Secret `{labels.STORAGE_SECRET}` has no `{USER_KEY}` and `{PASSWORD_KEY}`",
            hint=f"kubectl delete secret {labels.STORAGE_SECRET}   and pymr up",
        ) from error
    if password.lower() in WEAK or len(password) < PASSWORD_LENGTH_MIN or password == user:
        raise ClusterError(
            f"the root password in Secret `{labels.STORAGE_SECRET}` can be guessed, expected at"
            f" least {PASSWORD_LENGTH_MIN} characters by chance",
            hint=f"kubectl delete secret {labels.STORAGE_SECRET}   and pymr up",
        )
    return user, password


def _refuse_foreign(kube: Kube) -> None:
    """Refuse to take over what somebody else has made under these names."""
    for kind in _KINDS:
        found = kube.get(kind, _NAMES[kind])
        if found is not None and not labels.is_ours(found):
            raise ClusterError(
                f"{kind_name(kind)} `{_NAMES[kind]}` of namespace `{kube.namespace}` is not"
                " PyMR's, and is left alone",
                hint="--namespace   with another one, or   --store   with that storage",
            )


def _refuse_no_class(kube: Kube, wanted: str | None) -> None:
    """Refuse a claim that nothing will ever bind, as far as this user may see what there is."""
    try:
        with kube.asking("list storage classes"):
            classes = list(kube.client.list(StorageClass))
    except ClusterError as error:
        if error.fields.get("verb") is None:
            raise
        return
    names = sorted(each.metadata.name or "" for each in classes if each.metadata is not None)
    listed = ", ".join(f"`{name}`" for name in names) or "none"
    if wanted is not None and wanted not in names:
        raise ClusterError(
            f"no storage class `{show_text(wanted)}` in the cluster; it has {listed}",
            hint=f"pymr up --storage-class {names[0]}" if names else "kubectl get storageclass",
        )
    if wanted is None and not any(_is_default(each) for each in classes):
        raise ClusterError(
            f"the cluster has no default storage class for the volume of the storage; it has"
            f" {listed}",
            hint=f"pymr up --storage-class {names[0]}" if names else "--store s3://bucket",
        )


def _is_default(storage_class: StorageClass) -> bool:
    about = storage_class.metadata.annotations if storage_class.metadata is not None else None
    return (about or {}).get(_DEFAULT_CLASS) == "true"
