"""The storage of a namespace: MinIO on a volume claim. Its names are those of the seed.

A StatefulSet, not a Deployment: of its pod there is never a second one at the same volume.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final

from lightkube.models.apps_v1 import StatefulSetSpec
from lightkube.models.core_v1 import (
    HTTPGetAction,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource,
    Probe,
    ServicePort,
    ServiceSpec,
    Volume,
    VolumeMount,
    VolumeResourceRequirements,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import PersistentVolumeClaim, Secret, Service

from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.pod import (
    SECRETS,
    TMP,
    GiB,
    MiB,
    Needs,
    Program,
    hardened_template,
    quantity,
)
from pymr.kubernetes.objects.policy import storage_policy

DATA: Final = "/data"
USER_KEY: Final = "user"
PASSWORD_KEY: Final = "password"  # noqa: S105 - a key of the Secret
VOLUME_BYTES: Final = 10 * GiB
STORAGE_NEEDS: Final = Needs(
    cpu_milli=100, memory_bytes=512 * MiB, disk_bytes=64 * MiB, disk_bytes_max=GiB
)


@dataclass(frozen=True, kw_only=True)
class StorageObjects:
    """What the storage of a namespace is made of."""

    image: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    volume_bytes: int = VOLUME_BYTES
    storage_class: str | None = None  # None: the cluster's default
    needs: Needs = STORAGE_NEEDS

    def render(self) -> list[Any]:
        """Return all objects, in the order in which they can be applied."""
        return [
            self.secret(),
            self.claim(),
            storage_policy(),
            self.service(),
            self.stateful_set(),
        ]

    def secret(self) -> Secret:
        """Return the Secret with the root credential."""
        values = {USER_KEY: self.user, PASSWORD_KEY: self.password}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return Secret(metadata=_meta(labels.STORAGE_SECRET), data=data, type="Opaque")

    def claim(self) -> PersistentVolumeClaim:
        """Return the claim of the volume."""
        return PersistentVolumeClaim(
            metadata=_meta(labels.STORAGE_CLAIM),
            spec=PersistentVolumeClaimSpec(
                accessModes=["ReadWriteOnce"],
                resources=VolumeResourceRequirements(
                    requests={"storage": quantity(self.volume_bytes)}
                ),
                storageClassName=self.storage_class,
            ),
        )

    def service(self) -> Service:
        """Return the Service by which pods and port-forwards find it."""
        return Service(
            metadata=_meta(labels.STORAGE_NAME),
            spec=ServiceSpec(
                selector=_selected(),
                ports=[ServicePort(name="s3", port=labels.STORAGE_PORT, targetPort="s3")],
            ),
        )

    def stateful_set(self) -> StatefulSet:
        """Return the workload itself."""
        claim = PersistentVolumeClaimVolumeSource(claimName=labels.STORAGE_CLAIM)
        volume = Volume(name="data", persistentVolumeClaim=claim)
        program = Program(
            name="minio",
            image=self.image,
            command=("minio", "server", DATA, "--address", f":{labels.STORAGE_PORT}"),
            needs=self.needs,
            environment={
                "HOME": TMP,
                "MINIO_ROOT_USER_FILE": f"{SECRETS}/{USER_KEY}",
                "MINIO_ROOT_PASSWORD_FILE": f"{SECRETS}/{PASSWORD_KEY}",
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
                "MINIO_API_STALE_UPLOADS_EXPIRY": "24h",  # It knows no such rule of a bucket.
            },
            ports={"s3": labels.STORAGE_PORT},
            secret=labels.STORAGE_SECRET,
            readiness=Probe(
                httpGet=HTTPGetAction(path="/minio/health/ready", port="s3"), periodSeconds=2
            ),
            volumes=[(volume, VolumeMount(name="data", mountPath=DATA))],
        )
        return StatefulSet(
            metadata=_meta(labels.STORAGE_NAME),
            spec=StatefulSetSpec(
                serviceName=labels.STORAGE_NAME,
                replicas=1,
                selector=LabelSelector(matchLabels=_selected()),
                template=hardened_template(program, labels.storage_labels(), restart="Always"),
            ),
        )


def _meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, labels=labels.storage_labels())


def _selected() -> labels.Labels:
    return {labels.NAME: labels.OURS, labels.COMPONENT: "storage"}
