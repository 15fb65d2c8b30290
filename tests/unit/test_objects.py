"""The objects of a run and of its storage: what must be so whatever a golden file says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job

from k8s_samples import CANARY, RUN, run_objects, storage_objects
from pymr.errors import ConfigError
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.manifest import manifest
from pymr.kubernetes.objects.pod import quantity
from pymr.kubernetes.objects.run import (
    DEADLINE_LATE_S,
    MASTER_IS_FINAL,
    TOLD_TO_END,
    WORKER_IS_FINAL,
    owner_of,
)

ROOT = Path(__file__).parents[2]


def pods() -> list[Any]:
    """Return the pod of every workload."""
    objects = [*run_objects().render(), *storage_objects().render()]
    return [each.spec.template.spec for each in objects if each.kind in {"Job", "StatefulSet"}]


def job_of(component: str, **changes: Any) -> Any:
    """Return the Job of the master or of the workers."""
    return next(
        each
        for each in run_objects(**changes).render()
        if each.kind == "Job" and each.metadata.labels[labels.COMPONENT] == component
    )


def test_every_pod_is_hardened() -> None:
    """As the `restricted` standard asks, with a read-only root, and without a token."""
    assert len(pods()) == 3
    for pod in pods():
        [container] = pod.containers
        assert pod.automountServiceAccountToken is False
        assert pod.enableServiceLinks is False
        assert pod.hostNetwork is pod.hostPID is pod.hostIPC is None
        assert pod.securityContext.runAsNonRoot is True
        assert pod.securityContext.runAsUser == 65532
        assert pod.securityContext.seccompProfile.type == "RuntimeDefault"
        assert container.securityContext.allowPrivilegeEscalation is False
        assert container.securityContext.readOnlyRootFilesystem is True
        assert container.securityContext.capabilities.drop == ["ALL"]


def test_every_pod_has_requests_and_limits() -> None:
    """Memory is both at once; disk is limited, and of /tmp too; CPU is not limited."""
    for pod in pods():
        needs = pod.containers[0].resources
        [tmp] = [volume for volume in pod.volumes if volume.emptyDir is not None]
        assert needs.requests.keys() == {"cpu", "memory", "ephemeral-storage"}
        assert needs.limits["memory"] == needs.requests["memory"]
        assert needs.limits["ephemeral-storage"] == tmp.emptyDir.sizeLimit
        assert "cpu" not in needs.limits


def test_no_secret_stands_in_an_environment_or_a_command() -> None:
    """`kubectl describe` shows both; Secrets are files."""
    for pod in pods():
        assert CANARY not in repr(pod)
        [volume] = [each for each in pod.volumes if each.secret is not None]
        assert volume.secret.defaultMode == 0o440
    assert CANARY not in repr(run_objects())
    assert CANARY not in repr(storage_objects())


def test_a_manifest_has_values_of_secrets_only_if_asked() -> None:
    """What is printed lands in terminals and files."""
    objects = [*run_objects().render(), *storage_objects().render()]

    told = manifest(objects, namespace=None, secrets=False)
    asked = list(yaml.safe_load_all(manifest(objects, namespace=None, secrets=True)))

    assert "\ndata:" not in told
    held = [each["data"] for each in asked if each["kind"] == "Secret"]
    assert [sorted(each) for each in held] == [
        ["credentials", "master.json", "spec.json"],
        ["credentials", "join.json"],
        ["password", "user"],
    ]


@pytest.mark.parametrize("name", ["1e3", "y", "0x1f", "123", "on", "null", "1.5", "-_a", "~"])
def test_text_that_looks_like_something_else_is_quoted(name: str) -> None:
    """Of `1e3` and `y`, which jobs may be named, kubectl's parser would make others."""
    objects = run_objects(job="x").render()
    for each in objects:
        each.metadata.labels[labels.JOB] = name

    told = manifest(objects, namespace=None, secrets=False)

    shown = set(re.findall(r"pymr.dev/job: (.*)", told.partition("template")[0]))
    assert shown <= {f'"{name}"', f"'{name}'"}
    assert all(each["metadata"]["labels"][labels.JOB] == name for each in yaml.safe_load_all(told))


def test_all_objects_carry_the_labels_of_their_run() -> None:
    """They are found by nothing else."""
    for each in run_objects().render():
        assert each.metadata.labels.items() >= labels.run_selector(RUN).items()
        assert each.metadata.labels[labels.JOB] == "wordcount"


def test_the_master_owns_all_other_objects() -> None:
    """Deleting its Job deletes the run."""
    job = Job(metadata=ObjectMeta(name=labels.master_name(RUN), uid="u-1"))

    parts = run_objects().parts(owner_of(job))

    owners = [each.metadata.ownerReferences for each in parts]
    assert all(
        [(o.kind, o.name, o.uid)] == [("Job", f"pymr-{RUN}-master", "u-1")] for [o] in owners
    )
    assert {type(each) for each in run_objects().render()} == {*map(type, parts), Job}


@pytest.mark.parametrize(("workers", "left"), [(1, 0), (3, 2), (4, 3), (8, 6), (100, 75)])
def test_a_quarter_of_the_workers_may_be_evicted_at_once(workers: int, left: int) -> None:
    """One at least, so that a node can be drained. As a number: Jobs know no other budget."""
    [budget] = [
        each for each in run_objects(workers=workers).render() if each.kind == "PodDisruptionBudget"
    ]

    assert budget.spec.minAvailable == left
    assert budget.spec.maxUnavailable is None


def test_a_run_of_a_time_limit_says_so_itself_first() -> None:
    """The cluster's own limit says nothing to the user."""
    assert job_of("master").spec.activeDeadlineSeconds == 91 + DEADLINE_LATE_S
    assert job_of("master", timeout_s=None).spec.activeDeadlineSeconds is None


def test_exit_codes_that_are_final_are_those_of_the_page() -> None:
    """All but incomplete, a bug, and signals: there another pod may come further."""
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}

    assert set(MASTER_IS_FINAL) == codes - {0, 10, 70, 129, 130, 143}
    assert set(WORKER_IS_FINAL) < set(MASTER_IS_FINAL)


@pytest.mark.parametrize("component", ["master", "worker"])
def test_pods_that_were_told_to_end_are_not_counted(component: str) -> None:
    """The first rule that fits counts: evicted or deleted, then final, else it is tried again."""
    rules = job_of(component).spec.podFailurePolicy.rules

    assert [rule.action for rule in rules][:2] == ["Ignore", "Ignore"]
    assert rules[0].onPodConditions[0].type == "DisruptionTarget"
    assert rules[1].onExitCodes.values == list(TOLD_TO_END)
    assert rules[1].onExitCodes.containerName == component


@pytest.mark.parametrize("name", ["a", "word-count", "a.b_c", "9", "x" * 63])
def test_a_name_that_a_label_can_have(name: str) -> None:
    """It is kept as it is."""
    assert run_objects(job=name).master_job().metadata.labels[labels.JOB] == name


@pytest.mark.parametrize("name", ["", "a.", "-a", "a_", "x" * 64, "größe", "a b", "a\n"])
def test_a_name_that_no_label_can_have_is_refused(name: str) -> None:
    """Exit 2, with what to type."""
    with pytest.raises(ConfigError, match="cannot be a label of Kubernetes") as caught:
        run_objects(job=name).render()

    assert caught.value.hint == "--name wordcount"


@pytest.mark.parametrize(
    ("size", "text"), [(1 << 30, "1Gi"), (1536 << 20, "1536Mi"), (1 << 10, "1Ki"), (1000, "1000")]
)
def test_sizes_are_written_as_kubernetes_does(size: int, text: str) -> None:
    """Exactly."""
    assert quantity(size) == text
