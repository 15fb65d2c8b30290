"""What a real cluster makes of the objects of a run: in its pods plays what a test says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod, PodEviction

from k8s_samples import run_objects, storage_objects
from pymr.errors import ClusterError
from pymr.kubernetes.known_run import delete_run, known_runs
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.manifest import manifest
from pymr.kubernetes.objects.pod import MiB, Needs
from pymr.kubernetes.objects.policy import OutsideStore
from pymr.kubernetes.objects.run import JOIN_FILE, SPEC_FILE, Images, RunObjects, owner_of
from pymr.kubernetes.preflight import namespace_of
from pymr.names import new_run_id
from real_cluster import KUBECONFIG, command_line, kubectl, ours, played_image, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

WAITS = "trap 'exit 143' TERM; sleep 600 & wait"
LOOKS = """
grep -E '^(Uid|Gid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
touch /x 2>/dev/null || echo 'root: read-only'
touch /tmp/x && echo 'tmp: can be written'
test -e /var/run/secrets/kubernetes.io || echo 'token: none'
stat -Lc 'secret: %a %u %g' /etc/pymr/spec.json
echo "process: $(test $$ = 1 && echo first || echo another)"
env | grep -c _SERVICE_HOST
"""


def began(kube: Kube, master: str, worker: str = WAITS, workers: int = 1) -> RunObjects:
    """Start a run whose pods do what is said, in shell."""
    image = played_image(kube)
    small = Needs(cpu_milli=10, memory_bytes=64 * MiB, disk_bytes=MiB, disk_bytes_max=64 * MiB)
    objects = run_objects(
        run=new_run_id(),
        namespace=kube.namespace,
        images=Images(image, image),
        workers=workers,
        master_files={SPEC_FILE: master.encode()},
        worker_files={JOIN_FILE: worker.encode()},
        master_needs=small,
        worker_needs=small,
        timeout_s=None,
    )
    job = kube.apply(objects.master_job(suspended=True))
    kube.apply_all(objects.parts(owner_of(job)))
    kube.patch(Job, labels.master_name(objects.run), {"spec": {"suspend": False}})
    return objects


def pods(kube: Kube, objects: RunObjects, component: labels.Component) -> list[Any]:
    """Return the pods of the master, or of the workers, that do not go."""
    listed = kube.list(Pod, labels.run_selector(objects.run, component))
    return [each for each in listed if each.metadata and not each.metadata.deletionTimestamp]


def running(kube: Kube, objects: RunObjects, component: labels.Component) -> list[str]:
    """Return the names of those that run."""
    listed = pods(kube, objects, component)
    return sorted(each.metadata.name for each in listed if each.status.phase == "Running")


def job(kube: Kube, name: str) -> dict[str, Any]:
    """Return the status of a Job."""
    status: dict[str, Any] = json.loads(kubectl(kube, "get", "job", name, "-o", "json"))["status"]
    return status


@pytest.mark.parametrize("outside", [None, OutsideStore()], ids=["own-store", "outside-store"])
def test_all_manifests_are_valid_for_the_api_server(
    kube: Kube, outside: OutsideStore | None
) -> None:
    """`kubectl apply --dry-run=server` of all of them, without a single warning."""
    objects = [
        *storage_objects().render(),
        *run_objects(outside_store=outside, namespace=kube.namespace).render(),
    ]
    text = manifest(objects, namespace=kube.namespace, secrets=True)

    strict = ["--dry-run=server", "--validate=strict", "--warnings-as-errors"]
    done = subprocess.run(
        ["kubectl", "--kubeconfig", KUBECONFIG, "apply", *strict, "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(objects)
    kube.apply_all(objects, dry_run=True)


def test_a_pod_is_as_hard_as_its_manifest_says(kube: Kube) -> None:
    """Seen from inside; and the namespace lets in no other."""
    objects = began(kube, LOOKS)

    master = until("no pod", lambda: pods(kube, objects, "master"))[0].metadata.name
    until("it has not ended", lambda: job(kube, labels.master_name(objects.run)).get("succeeded"))
    said = " ".join(kubectl(kube, "logs", master).split())

    assert said == (
        "Uid: 65532 65532 65532 65532 Gid: 65532 65532 65532 65532"
        " CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2"
        " root: read-only tmp: can be written token: none secret: 440 0 65532 process: another 1"
    )
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        kube.apply(_soft_pod(objects))


def _soft_pod(objects: RunObjects) -> Pod:
    template = objects.master_job().spec.template  # type: ignore[union-attr]
    assert template.spec is not None
    template.spec.securityContext = None
    return Pod(metadata=ObjectMeta(name="soft"), spec=template.spec)


def test_a_final_exit_code_ends_the_run_at_once_and_its_job_takes_all_with_it(kube: Kube) -> None:
    """No second pod is tried; when the Job is deleted, nothing of the run is left."""
    objects = began(kube, "exit 3", workers=2)
    name = labels.master_name(objects.run)

    until("it has not failed", lambda: len(job(kube, name).get("conditions", ())) >= 3)
    failed = job(kube, name)
    [known] = known_runs(kube)
    removed = delete_run(kube, objects.run)
    until("something is left", lambda: not ours(kube))

    reasons = {each["type"]: each["reason"] for each in failed["conditions"]}
    assert reasons["Failed"] == "PodFailurePolicy"
    assert failed["failed"] == 1
    assert (known.run, known.job, known.is_over) == (objects.run, "wordcount", True)
    assert removed


def test_pods_that_are_told_to_end_are_replaced_and_not_counted(kube: Kube) -> None:
    """Master and worker: by deletion here, as by a node that is drained."""
    objects = began(kube, WAITS)
    before = [
        until("none runs", lambda c=c: running(kube, objects, c)) for c in ("master", "worker")
    ]

    kubectl(kube, "delete", "pod", *(name for [name] in before), "--wait=false")
    after = [
        until("no other runs", lambda c=c, b=b: set(running(kube, objects, c)) - set(b))
        for c, b in zip(("master", "worker"), before, strict=True)
    ]

    assert all(after)
    jobs = [job(kube, n(objects.run)) for n in (labels.master_name, labels.workers_name)]
    assert [each.get("failed") for each in jobs] == [None, None]
    assert jobs[1].get("failedIndexes", "") == ""


def test_workers_are_evicted_within_the_budget(kube: Kube) -> None:
    """Of four one at a time; the API server refuses the next."""
    objects = began(kube, WAITS, workers=4)
    names = until("not all run", lambda: _all(running(kube, objects, "worker"), 4))
    until("no budget", lambda: _allowed(kube, objects) == 1)

    _evict(kube, names[0])
    with pytest.raises(ClusterError, match="violate the pod's disruption budget"):
        _evict(kube, names[1])


def test_down_in_the_middle_of_a_run_is_refused_unless_it_is_forced(
    kube: Kube, tmp_path: Path
) -> None:
    """Then nothing of it is left but its data."""
    cli = command_line(kube, tmp_path)
    objects = began(kube, WAITS)
    for component in ("master", "worker"):
        until("no pod", lambda c=component: pods(kube, objects, c))

    refused = cli.run("down", "--purge")
    before = ours(kube)
    forced = cli.run("down", "--force")

    refused.refused(
        8, "has runs that go on: `wordcount`", "pymr cancel wordcount", "--force --purge --"
    )
    refused.refused(8, f"--context {kube.context} --namespace {kube.namespace}")
    assert len(before) >= 9
    assert forced.code == 0, forced.stderr
    assert ours(kube) == []


def test_a_namespace_that_hangs_in_its_deletion_is_freed_by_down(
    kube: Kube, tmp_path: Path
) -> None:
    """From 1.33 on pods go first, and a worker's pod waits for the next one, which never comes."""
    cli = command_line(kube, tmp_path)
    objects = began(kube, WAITS)
    until("none runs", lambda: running(kube, objects, "worker"))
    kubectl(kube, "delete", "namespace", kube.namespace, "--wait=false")
    until("the pods do not go", lambda: not running(kube, objects, "worker"))

    freed = cli.run("down", "--force")

    assert freed.code == 0, freed.stderr
    until("it hangs", lambda: not kubectl(kube, "get", "ns", "-o", "name").count(kube.namespace))
    kube.client.create(namespace_of(kube.namespace))  # for the fixture to delete


def _all(names: list[str], count: int) -> list[str]:
    return names if len(names) == count else []


def _allowed(kube: Kube, objects: RunObjects) -> int:
    budget = json.loads(kubectl(kube, "get", "pdb", labels.workers_name(objects.run), "-o", "json"))
    return int(budget.get("status", {}).get("disruptionsAllowed", -1))


def _evict(kube: Kube, name: str) -> None:
    eviction = PodEviction(metadata=ObjectMeta(name=name, namespace=kube.namespace))
    with kube.asking(f"evict pod `{name}`"):
        kube.client.create(eviction, name, namespace=kube.namespace)
