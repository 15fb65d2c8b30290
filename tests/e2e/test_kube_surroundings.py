"""What is around a run's pods and changes: the API server, Secrets, sidecars, names."""

from __future__ import annotations

import base64
import errno
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from lightkube.resources.core_v1 import Secret

from pods_run import COUNT, ROWS, SLOW, PodsRun
from pymr.kubernetes.credentials import Scope, scoped
from pymr.kubernetes.launch import WORKER_KEYS_FILE, addresses_of
from pymr.kubernetes.objects import labels
from pymr.kubernetes.objects.pod import SECRETS
from pymr.kubernetes.objects.run import CREDENTIALS_FILE
from pymr.kubernetes.reach import known_storage, reached
from pymr.runner.find import find_run
from pymr.runner.stored import read_plan
from pymr.store.access import Access
from pymr.store.credentials import credentials_text
from real_cluster import KUBECONFIG, kubectl, until
from sidecar_injector import SIDECAR, injected
from tcp_proxy import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

WORDS = r"[\w+/=.-]{16,}"
CANARY = "of-the-laptop-alone-5e1f"
# Prints all that it can read: its variables, those of other processes, and small files.
NOSY = COUNT.replace(
    "import pymr\n",
    """\
import glob, os
import pymr

def look():
    print("variables", sorted(os.environ.items()))
    for pattern in ("/etc/pymr/**", "/var/run/secrets/**", "/tmp/**", "/proc/[0-9]*/environ"):
        for path in glob.glob(pattern, recursive=True):
            if os.path.isfile(path) and os.path.getsize(path) < 1 << 16:
                try:
                    with open(path, encoding="latin-1") as file:
                        print("file", path, file.read())
                except OSError as error:
                    print("not", path, error)
""",
).replace("    for word", "    if 'line000' in line: look()\n    for word")


def secret(pods: PodsRun, name: str) -> dict[str, str]:
    """Return what a Secret holds."""
    found = pods.kube.get(Secret, name)
    assert found is not None, name
    return {key: base64.b64decode(text).decode() for key, text in (found.data or {}).items()}


def run_id(pods: PodsRun, name: str) -> str:
    """Return the id of a run of which objects are in the cluster."""
    shown = kubectl(pods.kube, "get", "jobs", "-l", f"{labels.JOB}={name}", "-o", "json")
    return str(json.loads(shown)["items"][0]["metadata"]["labels"][labels.RUN])


# Says how calls of the master by IPv4 and IPv6 end: 0, or the number of an error.
CALLS = """
import socket
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    print(socket.socket(family).connect_ex((host, 50051)))
"""
# -- the API server --------------------------------------------------------------------------


@contextmanager
def wire(pods: PodsRun, folder: Path) -> Iterator[TcpProxy]:
    """Have all commands reach the API server by a wire that can be cut; pods are not concerned."""
    config = yaml.safe_load(Path(KUBECONFIG).read_text())
    cluster = {each["name"]: each["cluster"] for each in config["clusters"]}
    context = {each["name"]: each["context"] for each in config["contexts"]}[pods.kube.context]
    of_context = cluster[context["cluster"]]
    with TcpProxy(of_context["server"].removeprefix("https://")) as proxy:
        of_context["server"] = f"https://{proxy.address}"
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        pods.cli.environ["KUBECONFIG"] = str(folder / "kubeconfig")
        yield proxy


def test_f117_an_api_server_that_is_away_concerns_nobody_but_who_looks(
    pods: PodsRun, tmp_path: Path
) -> None:
    """Pods go on without it; the command waits, says so, and tells the end of the run."""
    with wire(pods, tmp_path) as proxy:
        run = pods.start("--workers=1", worker=SLOW, name="unseen")
        pods.until_it_maps("unseen")
        of_run = f"job/{labels.master_name(run_id(pods, 'unseen'))}"

        proxy.refuses = True
        proxy.cut()
        kubectl(pods.kube, "wait", of_run, "--for=condition=Complete", "--timeout=300s")
        said = run.said
        assert run.is_alive, said
        proxy.refuses = False
        said += pods.ended(run)

        assert "does not answer" in said
        assert pods.rows("unseen") == ROWS


def test_f117_who_has_waited_long_enough_comes_back_later(pods: PodsRun, tmp_path: Path) -> None:
    """The command says how; the run goes on meanwhile."""
    with wire(pods, tmp_path) as proxy:
        run = pods.start("--workers=1", "--storage-wait=10s", worker=SLOW, name="later")
        pods.until_it_maps("later")

        proxy.refuses = True
        proxy.cut()
        said = pods.ended(run, code=5)
        proxy.refuses = False
        pods.ended(pods.run("attach", "later"))

        assert "hint: pymr attach later" in said
        assert pods.rows("later") == ROWS


# -- Secrets ---------------------------------------------------------------------------------


def look_again(pods: PodsRun) -> None:
    """Have the kubelet look at the Secrets of all pods of runs; it would after a minute."""
    now = str(time.time_ns())
    kubectl(pods.kube, "annotate", "pods", "-l", labels.RUN, "--overwrite", f"test/look={now}")


def put_keys(pods: PodsRun, run: str, files: dict[str, dict[str, str]]) -> None:
    """Change the files with keys of a run, of each Secret, and wait until its pods have them."""
    for name, texts in files.items():
        kubectl(pods.kube, "patch", "secret", name, "-p", json.dumps({"stringData": texts}))
    look_again(pods)
    for part in ("master", "worker"):
        pod = pods.pods(part)[0]
        wanted = files[labels.worker_name(run)][WORKER_KEYS_FILE]
        read = ("exec", pod, "--", "cat", f"{SECRETS}/{WORKER_KEYS_FILE}")
        until("it is not mounted", lambda: kubectl(pods.kube, *read) == wanted)  # noqa: B023


def new_keys(pods: PodsRun, run: str, name: str) -> dict[str, dict[str, str]]:
    """Return files with new keys for the pods of a run."""
    output = f"s3://map-reduce-bucket/outputs/{name}"
    with reached(pods.kube, known_storage(pods.kube), wait_s=30.0) as owner:
        plan = read_plan(find_run(output, lambda _: owner).place, run)
        scope = Scope(run, output, addresses_of(plan))
        worker = credentials_text(scoped(owner, "worker", scope))
        return files_of(run, worker, credentials_text(scoped(owner, "master", scope)))


def files_of(run: str, worker: str, master: str) -> dict[str, dict[str, str]]:
    """Return the files with keys of each Secret of a run."""
    return {
        labels.master_name(run): {CREDENTIALS_FILE: master, WORKER_KEYS_FILE: worker},
        labels.worker_name(run): {WORKER_KEYS_FILE: worker},
    }


def test_f118_keys_that_are_changed_are_read_anew_when_they_are_refused(pods: PodsRun) -> None:
    """Some that nobody knows stop the run, which waits; those that are good let it go on."""
    run = pods.start("--workers=1", worker=SLOW, name="rotated")
    pods.until_it_maps("rotated")
    of_run = run_id(pods, "rotated")

    unknown = credentials_text(Access(access_key_id="nobody", secret_access_key="n" * 40))
    put_keys(pods, of_run, files_of(of_run, unknown, unknown))
    for part in ("master", "worker"):  # The history of the run cannot say it, for now.
        log = ("logs", pods.pods(part)[0])
        told = "refuses the keys, which are read anew"
        until(f"the {part} does not say it", lambda: told in kubectl(pods.kube, *log))  # noqa: B023
    put_keys(pods, of_run, new_keys(pods, of_run, "rotated"))
    said = pods.ended(run)

    assert "refuses the keys, which are read anew" in said
    assert "answers again" in said
    assert pods.rows("rotated") == ROWS


def test_f118_a_secret_that_is_deleted_does_not_stop_pods_that_run(pods: PodsRun) -> None:
    """They keep what was mounted; whoever follows is told."""
    slower = SLOW.replace("wait(0.1)", "wait(0.5)")  # A kubelet looks now and then.
    run = pods.start("--workers=1", worker=slower, name="deleted")
    pods.until_it_maps("deleted")
    of_run = run_id(pods, "deleted")

    for name in (labels.master_name(of_run), labels.worker_name(of_run)):
        kubectl(pods.kube, "delete", "secret", name)
    look_again(pods)
    said = pods.ended(run)

    assert "it goes on with the files that it has" in said
    assert f'secret "{labels.worker_name(of_run)}" not found' in said
    assert pods.rows("deleted") == ROWS


# -- what user code sees ---------------------------------------------------------------------


def test_f91_a_worker_that_prints_all_it_can_read_has_nothing_that_lasts(pods: PodsRun) -> None:
    """In its variables is no secret; in its files are the keys of a worker of this run."""
    canary = {"CANARY": CANARY, "AWS_ACCESS_KEY_ID": CANARY, "AWS_SECRET_ACCESS_KEY": CANARY}
    pods.cli.environ |= canary
    run = pods.start("--workers=1", worker=NOSY, name="nosy")
    of_run = until("no Secret", lambda: run_with_secrets(pods, "nosy"), 420.0)
    root, master, worker = (
        secret(pods, name)
        for name in (labels.STORAGE_SECRET, labels.master_name(of_run), labels.worker_name(of_run))
    )
    pods.ended(run)
    logs = pods.cli.run("logs", "nosy").stdout
    variables = "".join(line for line in logs.splitlines() if line.startswith("variables"))

    assert "AWS_ENDPOINT_URL" in variables, "it has looked"
    for name, text in worker.items():
        assert values_of(text) <= set(re.findall(WORDS, logs)), f"{name}: it has looked"
        assert [each for each in values_of(text) if each in variables] == []
    del master["spec.json"]  # No secret is in it.
    for name, text in {**root, **master}.items():
        others = values_of(text) - set().union(*map(values_of, worker.values()))
        assert others or name == WORKER_KEYS_FILE, name
        assert [each for each in others if each in logs] == [], name
    assert CANARY not in logs
    assert "serviceaccount" not in logs


def run_with_secrets(pods: PodsRun, name: str) -> str | None:
    """Return the id of a run whose Secrets are there."""
    jobs = json.loads(kubectl(pods.kube, "get", "jobs", "-l", f"{labels.JOB}={name}", "-o", "json"))
    return run_id(pods, name) if len(jobs["items"]) > 1 else None  # The workers' comes last.


def values_of(text: str) -> set[str]:
    """Return what in a file of a Secret may be secret: all that is long and by chance."""
    known = json.loads(text).get("run") if text.startswith("{") else None  # It is no secret.
    words = {each for each in re.findall(WORDS, text) if re.search(r"\d", each)}
    return {each for each in words if known is None or known not in each}


# -- what a cluster adds ---------------------------------------------------------------------


def test_f126_a_sidecar_that_never_ends_does_not_keep_a_run(pods: PodsRun) -> None:
    """A mesh adds one to each pod; both Jobs end by their own container, with their logs."""
    with injected(pods.kube):
        run = pods.start("--workers=1", "--detach", worker=SLOW, name="meshed")
        pods.ended(run)
        pods.until_it_maps("meshed")
        shown = kubectl(pods.kube, "get", "pods", "-l", f"{labels.JOB}=meshed", "-o", "json")
        for of_run in jobs_of(pods, "meshed"):
            ends = ("--for=condition=Complete", "--timeout=300s")
            kubectl(pods.kube, "wait", f"job/{of_run}", *ends)
        pods.ended(pods.run("attach", "meshed"))

    sidecars = [each["spec"]["initContainers"][0]["name"] for each in json.loads(shown)["items"]]
    assert sidecars == [SIDECAR, SIDECAR]
    assert "Map reduce completed" in pods.cli.run("logs", "meshed").stdout
    assert pods.rows("meshed") == ROWS


def jobs_of(pods: PodsRun, name: str) -> list[str]:
    """Return the names of the Jobs of a run."""
    shown = kubectl(pods.kube, "get", "jobs", "-l", f"{labels.JOB}={name}", "-o", "json")
    return [each["metadata"]["name"] for each in json.loads(shown)["items"]]


def test_f125_pods_find_each_other_by_names_without_the_domain_of_the_cluster(
    pods: PodsRun,
) -> None:
    """A cluster may have any; the master listens at all addresses of its pod."""
    run = pods.start("--workers=1", worker=SLOW, name="named")
    until("no worker comes", lambda: "All workers connected" in run.said, 420.0)
    of_run = run_id(pods, "named")
    join = json.loads(secret(pods, labels.worker_name(of_run))["join.json"])
    spec = json.loads(secret(pods, labels.master_name(of_run))["spec.json"])
    ask = ("exec", pods.pods("master")[0], "--", "python3", "-c", CALLS)
    called = kubectl(pods.kube, *ask).split()
    pods.ended(run)

    assert join["addresses"] == [f"pymr-{of_run}.{pods.kube.namespace}.svc:50051"]
    assert spec["endpoint"] == f"http://minio.{pods.kube.namespace}.svc:9000"
    assert spec["listen"] == "[::]:50051"
    assert called[0] == "0"
    assert called[1] in ("0", str(errno.EADDRNOTAVAIL)), "a pod may have no IPv6"
