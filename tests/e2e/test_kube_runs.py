"""Runs in pods: one command from a file and a worker to a result that this machine reads."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest

from cli import CommandLine
from image_tools import ImageTools
from pods_run import COUNT, ROWS, SLOW, PodsRun
from pymr.kubernetes.forward import Forward, Target
from pymr.kubernetes.objects.policy import METRICS_PORT
from real_cluster import kubectl, quota, until
from stopped_run import processes_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

WORD_COUNT = Path(__file__).parents[2] / "examples/wordcount/worker.py"
LOG = ("All workers connected", "All map tasks completed!", "Map reduce completed")
BIG_MEBIBYTES = int(os.environ.get("PYMR_E2E_MIB") or 256)


def state(pods: PodsRun, name: str) -> str | None:
    """Return how a run stands by the list of runs; None: it is not there."""
    rows = map(json.loads, pods.cli.run("jobs", "--json").stdout.splitlines())
    return {row["name"]: row["state"] for row in rows}.get(name)


def test_one_command_leads_from_a_file_to_a_result_in_the_cluster(pods: PodsRun) -> None:
    """With the seed's three log lines; its output is read here without a thought of ports."""
    run = pods.start("--workers=2", worker=WORD_COUNT.read_text(), name="seed")

    said = pods.ended(run)

    assert [line for line in LOG if line not in said] == [], said
    assert "s3://map-reduce-bucket/outputs/seed" in said
    assert pods.rows("seed") == ROWS
    assert pods.cli.run("verify", "seed").code == 0
    assert len(pods.cli.run("head", "seed", "-n3").stdout.splitlines()) == 3
    assert pods.cli.run("cp", "seed", "copied").code == 0
    parts = sorted((pods.cli.folder / "copied").glob("part-*"))
    assert [part.name for part in parts] == ["part-00000.tsv", "part-00001.tsv"]


def test_no_pod_is_asked_for_that_would_have_nothing_to_do(pods: PodsRun) -> None:
    """However many workers are: one task at a time is for one."""
    one = ("--mappers=1", "--reducers=1", "--workers=1000")

    pods.ended(
        pods.start(*one, name="one"),
        "workers is 1000, going on with 1: a phase has 1 task",
        "1 worker and a master",
        LOG[0],
    )

    assert pods.rows("one") == ROWS


def test_f123_what_pods_have_printed_outlives_them(pods: PodsRun) -> None:
    """The master's lines, and what user code printed; the pods are gone."""
    worker = COUNT.replace("def mapper", "print('loaded')\ndef mapper")
    pods.ended(pods.start("--workers=1", worker=worker, name="prints"))

    until("its pods stay", lambda: pods.left() == [])
    logs = pods.cli.run("logs", "prints").stdout

    assert "Map reduce completed" in logs
    assert "worker of run" in logs
    assert "loaded" in logs


def test_another_machine_finds_the_run_through_cluster_and_store(
    pods: PodsRun, tmp_path: Path
) -> None:
    """It has the kubeconfig, and has never heard of the run."""
    pods.ended(pods.start("--workers=1", name="elsewhere"))
    (tmp_path / "other").mkdir()
    other = CommandLine(tmp_path / "other")
    names = ("KUBECONFIG", "PYMR_NAMESPACE", "PYMR_CONTEXT")
    other.environ |= {name: pods.cli.environ[name] for name in names}

    read = other.run("cat", "s3://map-reduce-bucket/outputs/elsewhere", "--on=kubernetes")

    assert read.code == 0, read.stderr
    assert sorted(read.stdout.splitlines()) == ROWS


def test_three_workers_leave_the_same_bytes_as_this_machine(pods: PodsRun) -> None:
    """Of a word count of PYMR_E2E_MIB MiB."""
    text = b"".join(b"%d the quick brown %d fox\n" % (n, n * n % 9973) for n in range(40_000))
    pods.cli.write("in.txt", (text * (BIG_MEBIBYTES * (1 << 20) // len(text) + 1)))
    word_count = WORD_COUNT.read_text()
    run = pods.start("--workers=3", worker=word_count, name="big")
    local = pods.cli.folder / "local"

    arguments = ("--input=in.txt", "--reducers=2", "--mappers=8", f"--output={local}")
    pods.ended(pods.run("start", *arguments, "worker.py"))
    pods.ended(run)

    assert pods.cli.run("cp", "big", "copied").code == 0
    here = {part.name: part.read_bytes() for part in local.glob("part-*")}
    there = {p.name: p.read_bytes() for p in (pods.cli.folder / "copied").glob("part-*")}
    assert there == here


def test_two_runs_work_side_by_side_in_one_namespace(pods: PodsRun) -> None:
    """They share the storage and nothing else; when one ends the other's objects stay."""
    slow = pods.start("--workers=1", worker=SLOW.replace("0.1", "0.5"), name="slow")
    pods.until_it_maps("slow")

    quick = pods.start("--workers=1", name="quick")
    pods.ended(quick)
    until("objects of the first are left", lambda: not pods.of_run("quick"))
    assert pods.of_run("slow")
    pods.ended(slow)

    assert pods.rows("slow") == pods.rows("quick") == ROWS


def test_a_run_is_left_alone_and_found_again(pods: PodsRun) -> None:
    """Detached, seen, followed to its end."""
    left = pods.start("--workers=1", "--detach", "--json", worker=SLOW, name="detached")
    said = pods.ended(left).splitlines()
    told = json.loads(next(line for line in said if line.startswith("{")))
    assert told["namespace"] == pods.kube.namespace

    pods.until_it_maps("detached")
    metrics = seen_of_master(pods, told["run"])
    status = json.loads(pods.cli.run("status", "detached", "--json").stdout)
    followed = pods.ended(pods.run("attach", "detached"))

    assert "pymr_workers 1.0" in metrics
    assert status["state"] == "running"
    assert "Map reduce completed" in followed
    assert pods.rows("detached") == ROWS


def seen_of_master(pods: PodsRun, run: str) -> str:
    """Return what the master says of itself, by the line of the guide."""
    target = Target(pods.kube.context, pods.kube.namespace, f"service/pymr-{run}", METRICS_PORT)
    with Forward(target) as forward, urlopen(f"{forward.endpoint}/metrics") as answer:
        return bytes(answer.read()).decode()


def test_a_run_is_deleted_by_kubectl_and_resumed(pods: PodsRun, tmp_path: Path) -> None:
    """By the name of its job: all that belongs to it goes, and its data stays.

    Whoever has the kubeconfig may go on with it, by the name of its output.
    """
    pods.ended(pods.start("--workers=1", "--detach", worker=SLOW, name="deleted"))
    pods.until_it_maps("deleted")

    kubectl(pods.kube, "delete", "job", "-l", "pymr.dev/job=deleted")
    until("something of it is left", lambda: not pods.of_run("deleted"))
    (tmp_path / "other").mkdir()
    other = PodsRun(pods.kube, tmp_path / "other")
    other.ended(other.run("resume", "s3://map-reduce-bucket/outputs/deleted", "--on=kubernetes"))

    assert pods.rows("deleted") == ROWS


def test_a_run_is_cancelled_from_here_and_nothing_of_it_stays(pods: PodsRun) -> None:
    """Neither pods nor attempts; it is not resumed by mistake."""
    pods.ended(pods.start("--workers=1", "--detach", worker=SLOW, name="cancelled"))
    pods.until_it_maps("cancelled")

    said = pods.ended(pods.run("cancel", "cancelled"))

    assert "cancelled is stopped; nothing of it is kept" in said
    assert pods.left() == []
    pods.cli.run("resume", "cancelled").refused(4, "was cancelled")


def test_a_run_is_cancelled_while_its_images_are_made(pods: PodsRun, tmp_path: Path) -> None:
    """Until then it is at work: nobody resumes what is being built."""
    tools = ImageTools(tmp_path, "docker", "kind")
    tools.hang("docker", "build")
    for program in ("kubectl", "sh", "env"):
        (tools.bin / program).symlink_to(str(shutil.which(program)))
    pods.cli.environ["PATH"] = str(tools.bin)
    pods.cli.write("packages.txt", "six==1.16.0\n")  # No image has it: one has to be built.
    run = pods.start("--workers=1", "--requirements=packages.txt", name="building")
    until("it is not in its store", lambda: state(pods, "building") == "running")
    tools.wait_hung()

    pods.cli.run("resume", "building").refused(4, "still runs")
    said = pods.ended(pods.run("cancel", "building"))
    pods.ended(run, "cancelled by `pymr cancel`", code=143)

    assert "building is stopped; nothing of it is kept" in said
    assert (state(pods, "building"), pods.left()) == ("cancelled", [])


def test_ctrl_c_stops_a_run_that_resume_goes_on_with(pods: PodsRun) -> None:
    """Its pods go; what was finished stays."""
    run = pods.start("--workers=1", worker=SLOW, name="stopped")
    pods.until_it_maps("stopped")

    run.popen.send_signal(signal.SIGINT)
    said = pods.ended(run, code=130)
    left = pods.left()
    pods.ended(pods.run("resume", "stopped"))

    assert "pymr resume stopped" in said
    assert left == []
    assert pods.rows("stopped") == ROWS
    started = [each for each in pods.history("stopped") if each["kind"] == "AttemptStarted"]
    assert len(started) < 20, "what was done before was kept"


def test_a_second_ctrl_c_waits_for_nothing(pods: PodsRun) -> None:
    """What it says is what to do next; nothing of the command goes on behind it."""
    run = pods.start("--workers=1", worker=SLOW, name="twice")
    pods.until_it_maps("twice")

    run.popen.send_signal(signal.SIGINT)
    ending = ("get", "pods", "-l", "pymr.dev/job=twice", "-o", "yaml")
    until("no pod ends", lambda: "deletionTimestamp:" in kubectl(pods.kube, *ending))
    run.popen.send_signal(signal.SIGINT)
    pods.ended(run, "twice: ended at once; its pods may go on", "pymr cancel twice", code=130)
    until("something goes on", lambda: not processes_of(pods.cli))
    pods.ended(pods.run("cancel", "twice"), "nothing of it is kept")

    assert pods.left() == []


def test_ctrl_c_before_a_master_runs_is_remembered_as_that(pods: PodsRun) -> None:
    """Nobody but this command can say so; what was uploaded is used by the resume."""
    pods.ended(pods.start("--workers=1", name="before"))  # Storage and images are there.
    with quota(pods.kube, "full", "pods=1"):
        run = pods.start("--workers=1", name="early")
        run.says("quota `full` does not allow it")
        before = state(pods, "early")
        run.popen.send_signal(signal.SIGINT)
        pods.ended(run, code=130)

    assert (before, state(pods, "early")) == ("waiting", "interrupted")
    pods.ended(pods.run("resume", "early"))
    assert pods.rows("early") == ROWS


def test_f70_bad_records_are_tried_again_by_pods_from_here(pods: PodsRun) -> None:
    """After a fix of the worker file; nothing else is done again, and no image is built."""
    broken = COUNT.replace("    for word", "    assert 'line050' not in line\n    for word")
    run = pods.start("--workers=1", "--skip-bad-records=5", worker=broken, name="replayed")
    assert "1 record skipped" in pods.ended(run)
    assert pods.rows("replayed") != ROWS
    pods.cli.write("worker.py", COUNT)

    said = pods.ended(pods.run("replay", "replayed"))

    assert "replayed is replayed: 7 of 8 map tasks are finished and kept" in said
    assert "building" not in said
    assert pods.rows("replayed") == ROWS
    assert pods.cli.run("verify", "replayed").code == 0
    assert "has no bad records" in pods.ended(pods.run("replay", "replayed"))


def test_a_terminal_that_is_closed_leaves_the_run_alone(pods: PodsRun) -> None:
    """The laptop may be shut; attach follows it to its end."""
    run = pods.start("--workers=1", worker=SLOW, name="closed")
    pods.until_it_maps("closed")

    run.popen.send_signal(signal.SIGHUP)
    pods.ended(run, code=129)
    assert pods.pods("master") != []
    pods.ended(pods.run("attach", "closed"))

    assert pods.rows("closed") == ROWS
