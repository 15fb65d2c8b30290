"""The one template that all pods stand on: hardened as far as the `restricted` standard, and more.

Not root, no capabilities, no new privileges, the runtime's own seccomp profile, a root file system
that cannot be written, no token of a service account, no environment of other services, limits for
memory and disk. What is written goes to /tmp, which ends with the pod.

The pods' namespace of processes is shared with the pause container: it is process 1 and reaps
what user code leaves behind, and SIGTERM means to ours what it means everywhere.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightkube.models.core_v1 import (
    Capabilities,
    Container,
    ContainerPort,
    EmptyDirVolumeSource,
    EnvVar,
    PodSecurityContext,
    PodSpec,
    PodTemplateSpec,
    Probe,
    ResourceRequirements,
    SeccompProfile,
    SecretVolumeSource,
    SecurityContext,
    TopologySpreadConstraint,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta

from pymr.kubernetes.objects.labels import Labels

USER_ID: Final = 65532  # `nonroot` of most base images
TMP: Final = "/tmp"  # noqa: S108 - a volume of the pod alone
SECRETS: Final = "/etc/pymr"  # where they are mounted
SECRET_MODE: Final = 0o440  # root's, and our group's by `fsGroup`
POD_GRACE_S: Final = 75  # a worker that is told to end has given back by then what it holds
KiB: Final = 1 << 10
MiB: Final = 1 << 20
GiB: Final = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a container is given. Memory is asked for and limited at once: it is never taken back.

    There is no limit of CPU, unless the namespace has one: who has idle cores lends them.
    """

    cpu_milli: int
    memory_bytes: int
    disk_bytes: int  # asked for; /tmp, the root file system and what is printed
    disk_bytes_max: int
    cpu_milli_max: int | None = None

    def resources(self) -> ResourceRequirements:
        """Return them as a pod has them."""
        memory = quantity(self.memory_bytes)
        limits = {"memory": memory, "ephemeral-storage": quantity(self.disk_bytes_max)}
        if self.cpu_milli_max is not None:
            limits["cpu"] = f"{self.cpu_milli_max}m"
        return ResourceRequirements(
            requests={
                "cpu": f"{self.cpu_milli}m",
                "memory": memory,
                "ephemeral-storage": quantity(self.disk_bytes),
            },
            limits=limits,
        )


@dataclass(frozen=True, kw_only=True)
class Program:
    """The one container of a pod."""

    name: str
    image: str
    command: Sequence[str]
    needs: Needs
    environment: dict[str, str]
    ports: dict[str, int]
    secret: str | None = None  # mounted at SECRETS
    readiness: Probe | None = None
    volumes: Sequence[tuple[Volume, VolumeMount]] = ()
    grace_s: int = POD_GRACE_S
    spread: Labels | None = None  # pods that go to different nodes as far as there are


def hardened_template(program: Program, labels: Labels, *, restart: str) -> PodTemplateSpec:
    """Return the template of pods that run `program`; `restart` is their restartPolicy."""
    tmp_bytes_max = quantity(program.needs.disk_bytes_max)
    mounts = [
        (
            Volume(name="tmp", emptyDir=EmptyDirVolumeSource(sizeLimit=tmp_bytes_max)),
            VolumeMount(name="tmp", mountPath=TMP),
        ),
        *program.volumes,
    ]
    if program.secret is not None:
        source = SecretVolumeSource(secretName=program.secret, defaultMode=SECRET_MODE)
        mounts.append(
            (
                Volume(name="secrets", secret=source),
                VolumeMount(name="secrets", mountPath=SECRETS, readOnly=True),
            )
        )
    container = Container(
        name=program.name,
        image=program.image,
        imagePullPolicy="IfNotPresent",
        command=list(program.command),
        env=[EnvVar(name=name, value=value) for name, value in program.environment.items()],
        ports=[ContainerPort(name=name, containerPort=at) for name, at in program.ports.items()],
        resources=program.needs.resources(),
        readinessProbe=program.readiness,
        securityContext=SecurityContext(
            allowPrivilegeEscalation=False,
            capabilities=Capabilities(drop=["ALL"]),
            readOnlyRootFilesystem=True,
        ),
        terminationMessagePolicy="FallbackToLogsOnError",
        volumeMounts=[mount for _, mount in mounts],
    )
    spec = PodSpec(
        containers=[container],
        restartPolicy=restart,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        securityContext=PodSecurityContext(
            runAsNonRoot=True,
            runAsUser=USER_ID,
            runAsGroup=USER_ID,
            fsGroup=USER_ID,
            fsGroupChangePolicy="OnRootMismatch",
            seccompProfile=SeccompProfile(type="RuntimeDefault"),
        ),
        shareProcessNamespace=True,
        topologySpreadConstraints=None if program.spread is None else [_spread(program.spread)],
        terminationGracePeriodSeconds=program.grace_s,
        volumes=[volume for volume, _ in mounts],
    )
    return PodTemplateSpec(metadata=ObjectMeta(labels=dict(labels)), spec=spec)


def _spread(pods: Labels) -> TopologySpreadConstraint:
    return TopologySpreadConstraint(
        maxSkew=1,
        topologyKey="kubernetes.io/hostname",
        whenUnsatisfiable="ScheduleAnyway",
        labelSelector=LabelSelector(matchLabels=pods),
    )


def quantity(size: int) -> str:
    """Return a size in bytes as Kubernetes writes it: `512Mi`."""
    for unit, suffix in ((GiB, "Gi"), (MiB, "Mi"), (KiB, "Ki")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{suffix}"
    return str(size)
