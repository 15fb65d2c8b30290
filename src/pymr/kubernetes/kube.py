"""A namespace of a cluster, as this user may use it.

Every refusal of the API server is a `ClusterError` (exit 8) that says in words what was asked for,
why it was refused, and what to type next (`kubernetes.refusal`). Objects are lightkube's typed
ones; they are written by server-side apply, in the name of FIELD_MANAGER.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

import httpx2
import lightkube
from lightkube.core import resource
from lightkube.core.exceptions import ApiError
from lightkube.types import CascadeType, PatchType

from pymr.kubernetes.kubeconfig import Context, read_context
from pymr.kubernetes.refusal import Told, refusing

FIELD_MANAGER: Final = "pymr"
KUBE_REQUEST_S: Final = 30.0  # for one answer of the API server; admission webhooks have 10 s each
NOT_FOUND: Final = 404

Namespaced = TypeVar("Namespaced", bound=resource.NamespacedResource)
Global = TypeVar("Global", bound=resource.GlobalResource)
Labels = Mapping[str, str]


class Kube:
    """The objects of one namespace. For the threads of one process."""

    def __init__(self, client: lightkube.Client, context: str, namespace: str, server: str) -> None:
        self.client = client  # whoever calls it itself does so inside `asking`
        self.context = context
        self.namespace = namespace
        self.told = Told(context, namespace, server)

    def asking(self, doing: str) -> Any:
        """Return a `with` block whose refusals are `ClusterError`s; `doing` completes "cannot"."""
        return refusing(self.told, doing)

    def apply(self, wanted: Namespaced, *, dry_run: bool = False) -> Namespaced:
        """Create an object or change it to what is wanted, and return it as it is now.

        Raises:
            ClusterError: refused.
        """
        with self.asking(f"apply {named(wanted)}"):
            return self.client.apply(wanted, force=True, dry_run=dry_run)

    def apply_all(self, wanted: Iterable[Any], *, dry_run: bool = False) -> list[Any]:
        """Apply objects in their order.

        Raises:
            ClusterError: one was refused; those before it are applied.
        """
        return [self.apply(each, dry_run=dry_run) for each in wanted]

    def create(self, wanted: Namespaced) -> Namespaced:
        """Create an object that is not there yet.

        Raises:
            ClusterError: refused, or it is there (`reason` is `AlreadyExists`).
        """
        with self.asking(f"create {named(wanted)}"):
            return self.client.create(wanted, namespace=self.namespace)

    def get(self, kind: type[Namespaced], name: str) -> Namespaced | None:
        """Return an object; None: there is none of that name.

        Raises:
            ClusterError: refused.
        """
        with self.asking(f"get {kind_name(kind)} `{name}`"):
            try:
                return self.client.get(kind, name, namespace=self.namespace)
            except ApiError as error:
                if error.status.code == NOT_FOUND:
                    return None
                raise

    def list(self, kind: type[Namespaced], labels: Labels | None = None) -> list[Namespaced]:
        """Return the objects that carry the labels.

        Raises:
            ClusterError: refused.
        """
        with self.asking(f"list {plural(kind)}"):
            selector: dict[str, Any] | None = dict(labels) if labels else None
            return list(self.client.list(kind, namespace=self.namespace, labels=selector))

    def patch(self, kind: type[Namespaced], name: str, change: dict[str, Any]) -> Namespaced:
        """Change an object by a merge patch, and return it.

        Raises:
            ClusterError: refused, or there is none of that name.
        """
        with self.asking(f"change {kind_name(kind)} `{name}`"):
            return self.client.patch(
                kind, name, change, namespace=self.namespace, patch_type=PatchType.MERGE
            )

    def delete(self, kind: type[Namespaced], name: str, *, grace_s: int | None = None) -> bool:
        """Delete an object and, in the background, all that it owns; return whether it was there.

        Raises:
            ClusterError: refused.
        """
        with self.asking(f"delete {kind_name(kind)} `{name}`"):
            try:
                self.client.delete(
                    kind,
                    name,
                    namespace=self.namespace,
                    grace_period=grace_s,
                    cascade=CascadeType.BACKGROUND,
                )
            except ApiError as error:
                if error.status.code == NOT_FOUND:
                    return False
                raise
            return True

    def close(self) -> None:
        """Give connections back."""
        with suppress(httpx2.HTTPError):
            self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_kube(context: str | None = None, namespace: str | None = None) -> Kube:
    """Return a namespace of the cluster that `context` names; None: the kubeconfig's own choices.

    Nothing is asked of the cluster yet.

    Raises:
        ClusterError: no kubeconfig, no such context, or it cannot be used.
    """
    found: Context = read_context(context)
    told = Told(found.name, namespace or found.namespace, found.config.cluster.server)
    with refusing(told, "open the context"):
        client = lightkube.Client(
            found.config,
            namespace=told.namespace,
            timeout=httpx2.Timeout(KUBE_REQUEST_S),
            field_manager=FIELD_MANAGER,
        )
    return Kube(client, told.context, told.namespace, told.server)


def kind_name(kind: type[Any]) -> str:
    """Return how people write a kind: `job`."""
    return str(resource.api_info(kind).resource.kind).lower()


def plural(kind: type[Any]) -> str:
    """Return how the API server writes a kind: `jobs`."""
    return str(resource.api_info(kind).plural)


def named(wanted: Any) -> str:
    """Return how people write an object: job `x`."""
    name = wanted.metadata.name if wanted.metadata is not None else None
    return f"{kind_name(type(wanted))} `{name}`"
