"""The storage of a namespace on a real cluster: up, down, and what stands in its way."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import CommandLine
from pymr.config.setting import DEFAULT_STORE
from pymr.errors import ClusterError
from pymr.kubernetes.forward import Forward
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.storage import StorageWish, ensure_storage, find_storage, target_of
from pymr.store.access import open_store
from real_cluster import KUBECONFIG, command_line, kubectl, ours, quota, storage_image

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ALL = [
    "ControllerRevision/minio",
    "NetworkPolicy/minio",
    "PersistentVolumeClaim/minio-pvc",
    "Pod/minio-0",
    "Secret/minio-root",
    "Service/minio",
    "StatefulSet/minio",
]


@pytest.fixture
def cli(kube: Kube, tmp_path: Path) -> CommandLine:
    """Give a folder for commands about a namespace of its own, without storage."""
    return command_line(kube, tmp_path)


def up(cli: CommandLine, kube: Kube, *arguments: str) -> Any:
    """Have storage in the namespace, from an image that is there."""
    return cli.run("up", f"--minio-image={storage_image(kube)}", *arguments)


def kinds_and_names(kube: Kube) -> list[str]:
    """Return what is ours but for what controllers name by chance."""
    return [each for each in ours(kube) if not each.startswith("ControllerRevision/")]


def object_of(kube: Kube, body: bytes | None = None) -> bytes:
    """Write an object, if one is given, and return what there is."""
    storage = find_storage(kube)
    assert storage is not None
    with Forward(target_of(kube)) as forward:
        store = open_store(f"{DEFAULT_STORE}/test", storage.access(forward.endpoint))
        if body is not None:
            store.put_if_absent("object", body)
        return bytes(store.get("object"))


def test_up_can_be_repeated_and_data_outlives_down(cli: CommandLine, kube: Kube) -> None:
    """Only --purge removes it; then nothing is left."""
    first = up(cli, kube)
    second = up(cli, kube, "--json")
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert kinds_and_names(kube) == ALL[1:]
    assert object_of(kube, b"kept") == b"kept"
    assert json.loads(second.stdout)["namespace"] == kube.namespace
    assert "upgraded" not in second.stderr, "nothing was changed"

    down = cli.run("down")
    left = kinds_and_names(kube)
    again = up(cli, kube)
    kept = object_of(kube)
    purged = cli.run("down", "--purge")
    nothing = cli.run("down", "--purge")

    assert down.code == again.code == purged.code == nothing.code == 0, again.stderr
    assert left == ["PersistentVolumeClaim/minio-pvc", "Secret/minio-root"]
    assert kept == b"kept"
    assert ours(kube) == []
    assert "nothing of PyMR in namespace" in nothing.stderr


def test_store_prints_keys_that_work_and_are_made_at_random(cli: CommandLine, kube: Kube) -> None:
    """They are the only place where a secret is printed."""
    outcome = up(cli, kube)

    told = json.loads(cli.run("store", "--json").stdout)

    assert told["forward"] == (
        f"kubectl --context {kube.context} --namespace {kube.namespace} port-forward"
        " --address 127.0.0.1 service/minio 39000:9000"
    )
    assert len(told["AWS_SECRET_ACCESS_KEY"]) == 64
    assert told["AWS_SECRET_ACCESS_KEY"] not in outcome.stdout + outcome.stderr
    storage = find_storage(kube)
    assert storage is not None
    assert (storage.user, storage.password) == (
        told["AWS_ACCESS_KEY_ID"],
        told["AWS_SECRET_ACCESS_KEY"],
    )


def test_a_bucket_that_is_missing_is_told_with_the_storage_and_not_with_a_port(
    cli: CommandLine, kube: Kube
) -> None:
    """The port is closed when anybody reads that."""
    up(cli, kube)

    said = cli.run("head", "s3://no-such-bucket/out", "--on=kubernetes").refused(
        5,
        f"at the storage of namespace `{kube.namespace}` of `{kube.context}`",
        f"pymr store --context {kube.context} --namespace {kube.namespace}   says",
    )

    assert "127.0.0.1" not in said


def test_without_storage_store_says_how_to_have_it(cli: CommandLine, kube: Kube) -> None:
    """Exit 8."""
    cli.run("store").refused(8, "has no storage of PyMR", f"pymr up --namespace {kube.namespace}")


def test_f112_a_quota_in_the_way_is_told_at_once(cli: CommandLine, kube: Kube) -> None:
    """With its name, what is used and what is allowed; not after minutes."""
    with quota(kube, "small", "pods=0"):
        refused = up(cli, kube)

    refused.refused(8, "exceeded quota: small", "limited: pods=0")


def test_f113_pods_that_are_denied_are_told_in_the_words_of_the_admission(
    cli: CommandLine, kube: Kube
) -> None:
    """A range of limits, here; ours pass the standard `restricted`, which the namespace enforces."""
    limit = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "tiny"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "16Mi"}}]},
    }
    kubectl(kube, "apply", "-f", "-", stdin=yaml.safe_dump(limit))

    refused = up(cli, kube)

    refused.refused(8, "maximum memory usage per Container is 16Mi, but limit is 512Mi")


def test_f116_a_storage_class_that_is_not_there_is_found_before_anything_is_made(
    cli: CommandLine, kube: Kube
) -> None:
    """With those there are."""
    refused = up(cli, kube, "--storage-class=golden")

    refused.refused(8, "no storage class `golden` in the cluster; it has `")
    assert ours(kube) == []


def test_f116_a_volume_that_is_never_made_is_told(kube: Kube) -> None:
    """Nothing makes volumes of that class: in the words of the scheduler, when the time is up."""
    name = f"{kube.namespace}-never"
    never = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "example.com/none",
    }
    kubectl(kube, "apply", "-f", "-", stdin=yaml.safe_dump(never))
    wish = StorageWish(image=lambda: "no-image:1", storage_class=name, ready_s=10.0)
    try:
        with pytest.raises(ClusterError, match=r"its volume is not there: .*unbound") as caught:
            ensure_storage(kube, wish, print)
    finally:
        kubectl(kube, "delete", "storageclass", name)

    assert caught.value.hint is not None
    assert "get pvc" in caught.value.hint


def test_what_render_prints_can_be_applied_by_kubectl(cli: CommandLine, kube: Kube) -> None:
    """And is storage like any other."""
    image = f"--minio-image={storage_image(kube)}"

    rendered = cli.run("render", image, "--part=storage", "--secrets")
    kubectl(kube, "apply", "-f", "-", stdin=rendered.stdout)
    kubectl(kube, "rollout", "status", "statefulset", "minio", "--timeout=120s")
    up(cli, kube)

    assert object_of(kube, b"kept") == b"kept"


def test_an_upgrade_changes_the_image_and_keeps_the_data(cli: CommandLine, kube: Kube) -> None:
    """Only `up` does: a run takes the storage that is there."""
    up(cli, kube)
    object_of(kube, b"kept")
    before = kubectl(kube, "get", "pod", "minio-0", "-o", "jsonpath={.metadata.uid}")
    kubectl(kube, "set", "env", "statefulset/minio", "MINIO_UPDATE=on")

    ensure_storage(kube, StorageWish(image=lambda: "no-image:1"), print)
    upgraded = up(cli, kube)

    assert "storage: MinIO is upgraded" in upgraded.stderr
    after = kubectl(kube, "get", "pod", "minio-0", "-o", "json")
    assert json.loads(after)["metadata"]["uid"] != before
    assert '"MINIO_UPDATE"' in after
    assert object_of(kube) == b"kept"


def test_an_image_that_does_not_exist_is_told(cli: CommandLine) -> None:
    """In the words of the container runtime."""
    refused = cli.run("up", "--minio-image=localhost:1/no-such-image:1")

    refused.refused(8, "image `localhost:1/no-such-image:1` cannot be had")


def test_f124_rights_that_are_missing_are_all_named_before_anything_is_made(
    cli: CommandLine, kube: Kube
) -> None:
    """And the Role that is printed is enough."""
    kubectl(kube, "create", "serviceaccount", "ann")
    kubectl(
        kube, "create", "role", "some", "--verb=get,create,patch", "--resource=secrets,services"
    )
    kubectl(
        kube,
        "create",
        "rolebinding",
        "some",
        "--role=some",
        f"--serviceaccount={kube.namespace}:ann",
    )
    token = kubectl(kube, "create", "token", "ann").strip()
    config = yaml.safe_load(Path(KUBECONFIG).read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    cli.write("kubeconfig", yaml.safe_dump(config))
    cli.environ["KUBECONFIG"] = str(cli.folder / "kubeconfig")

    refused = up(cli, kube)
    role = cli.run("render", "--part=role").stdout
    made = [each for each in ours(kube) if not each.startswith("Role")]
    kubectl(kube, "apply", "-f", "-", stdin=role)
    kubectl(
        kube,
        "create",
        "rolebinding",
        "all",
        "--role=pymr-user",
        f"--serviceaccount={kube.namespace}:ann",
    )
    allowed = up(cli, kube)

    said = refused.refused(
        8, "`create statefulsets.apps`", "`create pods/portforward`", "--part role"
    )
    assert "`get secrets`" not in said
    assert made == []
    assert allowed.code == 0, allowed.stderr
    assert cli.run("down", "--purge").code == 0


def test_storage_of_others_is_left_alone(cli: CommandLine, kube: Kube) -> None:
    """The seed's own, for instance."""
    kubectl(kube, "create", "service", "clusterip", "minio", "--tcp=9000:9000")

    refused = up(cli, kube)
    down = cli.run("down", "--purge")

    refused.refused(8, f"service `minio` of namespace `{kube.namespace}` is not PyMR's")
    assert down.code == 0
    assert "service/minio" in kubectl(kube, "get", "service", "minio", "-o", "name")


def test_a_root_password_that_can_be_guessed_is_refused(cli: CommandLine, kube: Kube) -> None:
    """Whoever made the Secret; and it is not repeated."""
    assert up(cli, kube).code == 0
    for password in ("minioadmin", "short", "rustfsadmin"):
        value = base64.b64encode(password.encode()).decode()
        change = json.dumps({"data": {"password": value}})
        kubectl(kube, "patch", "secret", "minio-root", "-p", change)

        said = up(cli, kube).refused(8, "can be guessed")

        assert password not in said


def test_a_namespace_that_is_missing_is_made_and_lets_in_hardened_pods_alone(
    cli: CommandLine, kube: Kube
) -> None:
    """It stays when all else is purged: others may have put something into it."""
    other = f"{kube.namespace}-b"
    try:
        outcome = up(cli, kube, f"--namespace={other}")
        labels = json.loads(kubectl(kube, "get", "namespace", other, "-o", "json"))["metadata"][
            "labels"
        ]
    finally:
        kubectl(kube, "delete", "namespace", other, "--wait=false")

    assert outcome.code == 0, outcome.stderr
    assert f"namespace {other} was not there: it is made" in outcome.stderr
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
