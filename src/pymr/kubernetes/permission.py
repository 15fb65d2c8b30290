"""What a user must be allowed to do in a namespace, and what of it they are not.

Asked before anything is made, in one question: a run that ends half made for the want of a right is
worse than one that does not begin.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final, NamedTuple

from lightkube.models.authorization_v1 import (
    ResourceAttributes,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReviewSpec,
    SubjectRulesReviewStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview, SelfSubjectRulesReview
from lightkube.resources.rbac_authorization_v1 import Role

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.labels import common_labels

ROLE_NAME: Final = "pymr-user"
_ALL: Final = "*"
_WRITTEN: Final = ("create", "delete", "get", "list", "patch", "watch")


class Need(NamedTuple):
    """One verb on one kind of objects; `group` is empty for the oldest kinds."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


def _needs(group: str, resource: str, *verbs: str) -> tuple[Need, ...]:
    return tuple(Need(group, resource, verb) for verb in verbs)


FOR_STORAGE: Final = (
    *_needs("", "secrets", "create", "get", "patch"),
    *_needs("", "services", "create", "get", "patch"),
    *_needs("", "persistentvolumeclaims", "create", "get", "patch"),
    *_needs("apps", "statefulsets", "create", "get", "list", "patch", "watch"),
    *_needs("networking.k8s.io", "networkpolicies", "create", "patch"),
    *_needs("", "pods", "get", "list", "watch"),
    *_needs("", "events", "list", "watch"),
    *_needs("", "pods/portforward", "create"),
)
FOR_REMOVAL: Final = (
    *_needs("", "pods", "delete", "list", "watch"),
    *_needs("", "secrets", "delete", "get"),
    *_needs("", "services", "delete", "get"),
    *_needs("", "persistentvolumeclaims", "delete", "get", "list", "watch"),
    *_needs("apps", "statefulsets", "delete", "get", "list", "watch"),
    *_needs("networking.k8s.io", "networkpolicies", "delete", "get"),
    *_needs("batch", "jobs", "delete", "list", "watch"),
)
FOR_RUN: Final = (
    *_needs("batch", "jobs", *_WRITTEN),
    *_needs("", "secrets", "create", "get", "patch"),
    *_needs("", "services", "create", "get", "patch"),
    *_needs("networking.k8s.io", "networkpolicies", "create", "patch"),
    *_needs("policy", "poddisruptionbudgets", "create", "patch"),
    *_needs("", "pods", "delete", "get", "list", "watch"),
    *_needs("", "pods/log", "get"),
    *_needs("", "events", "list", "watch"),
    *_needs("", "pods/portforward", "create"),
)

# Not missed: without it, pods are made as where no limit range is.
FOR_LOOKS: Final = _needs("", "limitranges", "list")


def missing(kube: Kube, needs: Iterable[Need]) -> list[Need]:
    """Return what of `needs` this user may not do in the namespace, sorted.

    Raises:
        ClusterError: the cluster does not say.
    """
    review = SelfSubjectRulesReview(spec=SelfSubjectRulesReviewSpec(namespace=kube.namespace))
    with kube.asking("ask what is allowed"):
        status = kube.client.create(review).status
    assert status is not None, "a review is answered by its status"
    denied = sorted({need for need in needs if not is_allowed(need, status)})
    # Rules of an authorizer outside of the cluster are not listed; each question is answered.
    return [need for need in denied if not status.incomplete or not _may(kube, need)]


def is_allowed(need: Need, status: SubjectRulesReviewStatus) -> bool:
    """Say whether a rule of a review allows something for all objects of its kind."""
    return any(
        not rule.resourceNames
        and _has(rule.verbs, need.verb)
        and _has(rule.apiGroups, need.group)
        and _has(rule.resources, need.resource)
        for rule in status.resourceRules
    )


def require(kube: Kube, needs: Iterable[Need], what: str) -> None:
    """Refuse to do `what` for which a right is missing.

    Raises:
        ClusterError: its field `missing` lists the rights, its field `role` is a Role with them.
    """
    lacking = missing(kube, needs)
    if lacking:
        listed = ", ".join(f"`{need}`" for need in lacking)
        raise ClusterError(
            f"cannot {what} in namespace `{kube.namespace}` of context `{kube.context}`: this user"
            f" has no permission to {listed}",
            hint="pymr render --part role   prints a Role that an administrator can apply",
            missing=[str(need) for need in lacking],
        )


def role_of(needs: Iterable[Need]) -> Role:
    """Return a Role that allows all of `needs`."""
    by_kind = {
        kind: sorted({need.verb for need in group})
        for kind, group in groupby(sorted(needs), lambda need: (need.group, need.resource))
    }
    rules = [
        PolicyRule(apiGroups=[group], resources=[resource], verbs=verbs)
        for (group, resource), verbs in by_kind.items()
    ]
    return Role(metadata=ObjectMeta(name=ROLE_NAME, labels=common_labels()), rules=rules)


def _has(listed: list[str] | None, wanted: str) -> bool:
    return listed is not None and (_ALL in listed or wanted in listed)


def _may(kube: Kube, need: Need) -> bool:
    resource, _, inner = need.resource.partition("/")
    asked = ResourceAttributes(
        namespace=kube.namespace,
        group=need.group,
        resource=resource,
        subresource=inner or None,
        verb=need.verb,
    )
    review = SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resourceAttributes=asked))
    with kube.asking(f"ask whether to {need} is allowed"):
        status = kube.client.create(review).status
    return status is not None and bool(status.allowed)
