"""Who may talk to whom. It counts where the cluster's network enforces it; not all do.

    worker ──50051──► master     worker, master ──9000──► storage     worker, master ──53──► DNS

All else is denied to these pods, in and out: a policy that selects a pod and names both directions
denies what it does not allow. Pods that are not ours are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightkube.models.meta_v1 import LabelSelector, LabelSelectorRequirement, ObjectMeta
from lightkube.models.networking_v1 import (
    IPBlock,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from lightkube.resources.networking_v1 import NetworkPolicy

from pymr.kubernetes.objects import labels

MASTER_PORT: Final = 50051
METRICS_PORT: Final = 9090
_DNS_PORTS: Final = (53, 5353)  # the second is OpenShift's
_DNS_NAMESPACES: Final = ("kube-system", "openshift-dns")
_DNS_ON_THE_NODE: Final = "169.254.20.10/32"  # of NodeLocal DNSCache
_LINK_LOCAL: Final = "169.254.0.0/16"  # there a cloud hands out the rights of its machine


@dataclass(frozen=True)
class OutsideStore:
    """A store outside of the cluster: policies know addresses, not names, so its port counts."""

    port: int = 443


def storage_policy() -> NetworkPolicy:
    """Return who may talk to the storage of a namespace; it talks to nobody."""
    peers = [_pods(labels.common_labels(), component) for component in ("master", "worker")]
    return _policy(
        labels.STORAGE_NAME,
        labels.storage_labels(),
        {labels.NAME: labels.OURS, labels.COMPONENT: "storage"},
        [NetworkPolicyIngressRule(from_=peers, ports=_tcp(labels.STORAGE_PORT))],
        [],
    )


def master_policy(run: str, job: str, outside: OutsideStore | None) -> NetworkPolicy:
    """Return who may talk to the master of a run: its workers; and it to the store."""
    workers = _pods(labels.run_selector(run), "worker")
    return _policy(
        labels.master_name(run),
        labels.run_labels(run, job, "master"),
        labels.run_selector(run, "master"),
        [NetworkPolicyIngressRule(from_=[workers], ports=_tcp(MASTER_PORT))],
        [_to_store(outside), _to_dns()],
    )


def worker_policy(run: str, job: str, outside: OutsideStore | None) -> NetworkPolicy:
    """Return whom workers of a run may talk to: its master and the store; nobody talks to them."""
    master = _pods(labels.run_selector(run), "master")
    return _policy(
        labels.worker_name(run),
        labels.run_labels(run, job, "worker"),
        labels.run_selector(run, "worker"),
        [],
        [
            NetworkPolicyEgressRule(to=[master], ports=_tcp(MASTER_PORT)),
            _to_store(outside),
            _to_dns(),
        ],
    )


def _policy(
    name: str,
    own_labels: labels.Labels,
    selected: labels.Labels,
    ingress: list[NetworkPolicyIngressRule],
    egress: list[NetworkPolicyEgressRule],
) -> NetworkPolicy:
    return NetworkPolicy(
        metadata=ObjectMeta(name=name, labels=own_labels),
        spec=NetworkPolicySpec(
            podSelector=LabelSelector(matchLabels=selected),
            policyTypes=["Ingress", "Egress"],
            ingress=ingress,
            egress=egress,
        ),
    )


def _pods(of: labels.Labels, component: str) -> NetworkPolicyPeer:
    selected = {**of, labels.COMPONENT: component}
    return NetworkPolicyPeer(podSelector=LabelSelector(matchLabels=selected))


def _to_store(outside: OutsideStore | None) -> NetworkPolicyEgressRule:
    if outside is None:
        storage = _pods(labels.common_labels(), "storage")
        return NetworkPolicyEgressRule(to=[storage], ports=_tcp(labels.STORAGE_PORT))
    anywhere = [
        NetworkPolicyPeer(ipBlock=IPBlock(cidr="0.0.0.0/0", except_=[_LINK_LOCAL])),
        NetworkPolicyPeer(ipBlock=IPBlock(cidr="::/0", except_=["fe80::/10"])),
    ]
    return NetworkPolicyEgressRule(to=anywhere, ports=_tcp(outside.port))


def _to_dns() -> NetworkPolicyEgressRule:
    namespaces = LabelSelector(
        matchExpressions=[
            LabelSelectorRequirement(
                key="kubernetes.io/metadata.name", operator="In", values=list(_DNS_NAMESPACES)
            )
        ]
    )
    return NetworkPolicyEgressRule(
        to=[
            NetworkPolicyPeer(namespaceSelector=namespaces),
            NetworkPolicyPeer(ipBlock=IPBlock(cidr=_DNS_ON_THE_NODE)),
        ],
        ports=[
            NetworkPolicyPort(port=port, protocol=protocol)
            for port in _DNS_PORTS
            for protocol in ("UDP", "TCP")
        ],
    )


def _tcp(port: int) -> list[NetworkPolicyPort]:
    return [NetworkPolicyPort(port=port, protocol="TCP")]
