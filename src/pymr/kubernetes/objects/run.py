"""The objects of one run: a Job for its master, one for its workers, and what they need.

    Job master ──owns──► Service, Job workers, PodDisruptionBudget, NetworkPolicies, Secrets

Deleting the master's Job deletes the run. There is one master at a time: a later one deposes an
earlier one through the journal, so a cluster that starts two by mistake does no harm.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from lightkube.models.batch_v1 import (
    JobSpec,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
)
from lightkube.models.core_v1 import HTTPGetAction, Probe, ServicePort, ServiceSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from lightkube.models.policy_v1 import PodDisruptionBudgetSpec
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Secret, Service
from lightkube.resources.policy_v1 import PodDisruptionBudget

from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.pod import SECRETS, TMP, GiB, MiB, Needs, Program, hardened_template
from pymr.kubernetes.objects.policy import (
    MASTER_PORT,
    METRICS_PORT,
    OutsideStore,
    master_policy,
    worker_policy,
)
from pymr.observe.feed import END_FILE

# Files of the Secrets, which pods have below SECRETS.
SPEC_FILE: Final = "spec.json"  # of the master: `cluster.master_spec.MasterSpec`
MASTER_FILE: Final = "master.json"  # of the master: `cluster.join.MasterFile`
JOIN_FILE: Final = "join.json"  # of a worker: `cluster.join.JoinFile`
CREDENTIALS_FILE: Final = "credentials"  # of either: its own keys of the store, as AWS writes them
CERTIFICATES_FILE: Final = "ca.pem"  # of the master: whom it trusts besides the system's

# Where a container says what it ended with, by default: the kubelet's own file, which it may write
# though nothing else, and which the cluster has in the status of the pod.
TERMINATION_LOG: Final = "/dev/termination-log"
MASTER_NEEDS: Final = Needs(
    cpu_milli=100, memory_bytes=512 * MiB, disk_bytes=256 * MiB, disk_bytes_max=2 * GiB
)
WORKER_NEEDS: Final = Needs(
    cpu_milli=500, memory_bytes=GiB, disk_bytes=2 * GiB, disk_bytes_max=10 * GiB
)
# What another pod would end with too (docs/reference/exit-codes.md): 6, since a task has too little
# memory, or the store no room. Not 10: another master has taken the run on, or no worker came.
MASTER_IS_FINAL: Final = tuple(range(1, 10))
WORKER_IS_FINAL: Final = (2, 8)
TOLD_TO_END: Final = (130, 143)  # by whoever deletes the pod: nobody's fault
MASTER_FAILURES_MAX: Final = 6
WORKER_FAILURES_MAX: Final = 20  # of each index
RUN_KEPT_S: Final = 86_400  # when it is over; its logs are in the store
DEADLINE_LATE_S: Final = 60  # that a master has to say by itself that its time is up
EVICTED_SHARE: Final = 0.25  # of the workers that may be evicted at once


@dataclass(frozen=True)
class Images:
    """What the pods of a run are made of: names with a tag or a digest, never `latest`."""

    master: str
    worker: str


@dataclass(frozen=True, kw_only=True)
class RunObjects:
    """What a run on Kubernetes is made of; `render` and `parts` give its objects.

    `master_files` and `worker_files` are what the Secrets hold (SPEC_FILE and so on). With
    CREDENTIALS_FILE among them pods have keys of their own; without, whatever their cluster gives.
    """

    run: str
    job: str  # the name of the job: a label
    namespace: str
    images: Images
    workers: int
    master_files: Mapping[str, bytes] = field(repr=False)
    worker_files: Mapping[str, bytes] = field(repr=False)
    endpoint: str | None  # of the store, as pods reach it
    region: str | None = None
    outside_store: OutsideStore | None = None  # None: the namespace's own storage
    is_requester_paying: bool = False
    slots: int = 1  # of each worker
    master_needs: Needs = MASTER_NEEDS
    worker_needs: Needs = WORKER_NEEDS
    timeout_s: float | None = None

    def master_job(self, *, suspended: bool = False) -> Job:
        """Return the Job of the master, which owns all `parts`."""
        program = Program(
            name="master",
            image=self.images.master,
            command=("pymr", "master", f"{SECRETS}/{SPEC_FILE}"),
            needs=self.master_needs,
            environment=self._environment(self.master_files),
            ports={"grpc": MASTER_PORT, "metrics": METRICS_PORT},
            secret=labels.master_name(self.run),
            readiness=Probe(
                httpGet=HTTPGetAction(path="/healthz", port="metrics"), periodSeconds=5
            ),
        )
        of_run = labels.run_labels(self.run, self.job, "master")
        limit_s = None if self.timeout_s is None else ceil(self.timeout_s) + DEADLINE_LATE_S
        spec = JobSpec(
            template=hardened_template(program, of_run, restart="Never"),
            parallelism=1,
            completions=1,
            backoffLimit=MASTER_FAILURES_MAX,
            podFailurePolicy=_failure_policy("master", "FailJob", MASTER_IS_FINAL),
            podReplacementPolicy="Failed",
            activeDeadlineSeconds=limit_s,
            ttlSecondsAfterFinished=RUN_KEPT_S,
            suspend=suspended,
        )
        name = labels.master_name(self.run)
        return Job(metadata=ObjectMeta(name=name, labels=of_run), spec=spec)

    def parts(self, owner: OwnerReference | None = None) -> list[Any]:
        """Return all other objects, those first that the others need."""
        objects: list[Any] = [
            self._secret(labels.master_name(self.run), self.master_files, "master"),
            self._secret(labels.worker_name(self.run), self.worker_files, "worker"),
            master_policy(self.run, self.job, self.outside_store),
            worker_policy(self.run, self.job, self.outside_store),
            self._service(),
            self._disruption_budget(),
            self._workers_job(),
        ]
        for each in objects:
            each.metadata.ownerReferences = None if owner is None else [owner]
        return objects

    def render(self) -> list[Any]:
        """Return all objects, in the order in which they can be applied."""
        return [*self.parts(), self.master_job()]

    def _workers_job(self) -> Job:
        program = Program(
            name="worker",
            image=self.images.worker,
            command=(
                *("pymr", "worker", "--join-file", f"{SECRETS}/{JOIN_FILE}"),
                *("--slots", str(self.slots), "--tmp-dir", TMP),
            ),
            needs=self.worker_needs,
            environment=self._environment(self.worker_files),
            ports={},
            secret=labels.worker_name(self.run),
            spread=labels.run_selector(self.run, "worker"),
        )
        of_run = labels.run_labels(self.run, self.job, "worker")
        spec = JobSpec(
            template=hardened_template(program, of_run, restart="Never"),
            completionMode="Indexed",
            parallelism=self.workers,
            completions=self.workers,
            backoffLimitPerIndex=WORKER_FAILURES_MAX,
            podFailurePolicy=_failure_policy("worker", "FailIndex", WORKER_IS_FINAL),
            podReplacementPolicy="Failed",
        )
        name = labels.workers_name(self.run)
        return Job(metadata=ObjectMeta(name=name, labels=of_run), spec=spec)

    def _service(self) -> Service:
        of_run = labels.run_labels(self.run, self.job, "master")
        return Service(
            metadata=ObjectMeta(name=labels.service_name(self.run), labels=of_run),
            spec=ServiceSpec(
                selector=labels.run_selector(self.run, "master"),
                ports=[
                    ServicePort(name="grpc", port=MASTER_PORT, targetPort="grpc"),
                    ServicePort(name="metrics", port=METRICS_PORT, targetPort="metrics"),
                ],
                publishNotReadyAddresses=True,  # Workers wait by themselves, and try again.
            ),
        )

    def _disruption_budget(self) -> PodDisruptionBudget:
        """Return how many workers must be left. As a number: Jobs know no `maxUnavailable`."""
        of_run = labels.run_labels(self.run, self.job, "worker")
        evicted_max = max(1, int(self.workers * EVICTED_SHARE))
        return PodDisruptionBudget(
            metadata=ObjectMeta(name=labels.workers_name(self.run), labels=of_run),
            spec=PodDisruptionBudgetSpec(
                minAvailable=self.workers - evicted_max,
                selector=LabelSelector(matchLabels=labels.run_selector(self.run, "worker")),
                unhealthyPodEvictionPolicy="AlwaysAllow",
            ),
        )

    def _secret(self, name: str, files: Mapping[str, bytes], component: labels.Component) -> Secret:
        of_run = labels.run_labels(self.run, self.job, component)
        data = {file: base64.b64encode(body).decode() for file, body in files.items()}
        return Secret(metadata=ObjectMeta(name=name, labels=of_run), data=data, type="Opaque")

    def _environment(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Return where a pod finds its store. No secret is in it."""
        named = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": self.region}
        environment = {"HOME": TMP, "TMPDIR": TMP, END_FILE: TERMINATION_LOG}
        environment |= {name: value for name, value in named.items() if value is not None}
        if CREDENTIALS_FILE in files:
            environment["AWS_SHARED_CREDENTIALS_FILE"] = f"{SECRETS}/{CREDENTIALS_FILE}"
        if CERTIFICATES_FILE in files:
            environment["AWS_CA_BUNDLE"] = f"{SECRETS}/{CERTIFICATES_FILE}"
        if self.is_requester_paying:
            environment["AWS_REQUEST_PAYER"] = "requester"
        return environment


def owner_of(job: Job) -> OwnerReference:
    """Return the reference by which `job`, as the cluster has it, owns other objects."""
    assert job.metadata is not None, "the cluster's objects have metadata"
    name, uid = job.metadata.name, job.metadata.uid
    assert name is not None, "it was applied"
    assert uid is not None, "it was applied"
    return OwnerReference(apiVersion="batch/v1", kind="Job", name=name, uid=uid, controller=False)


def _failure_policy(container: str, action: str, final: tuple[int, ...]) -> PodFailurePolicy:
    """Return what a failed pod means. The first rule that fits counts."""

    def on_exit(action: str, codes: tuple[int, ...]) -> PodFailurePolicyRule:
        required = PodFailurePolicyOnExitCodesRequirement(
            operator="In", values=sorted(codes), containerName=container
        )
        return PodFailurePolicyRule(action=action, onExitCodes=required)

    disrupted = PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")
    return PodFailurePolicy(
        rules=[
            PodFailurePolicyRule(action="Ignore", onPodConditions=[disrupted]),
            on_exit("Ignore", TOLD_TO_END),
            on_exit(action, final),
        ]
    )
