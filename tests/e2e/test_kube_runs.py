"""Runs in pods: one command from a file and a worker to a result that this machine reads."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from cli import CommandLine
from pods_run import COUNT, ROWS, SLOW, PodsRun
from real_cluster import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

WORD_COUNT = Path(__file__).parents[2] / "examples/wordcount/worker.py"
LOG = ("All workers connected", "All map tasks completed!", "Map reduce completed")
BIG_MEBIBYTES = int(os.environ.get("PYMR_E2E_MIB") or 64)


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


def test_f123_what_pods_have_printed_outlives_them(pods: PodsRun) -> None:
    """The master's lines, and what user code printed; the pods are gone."""
    worker = COUNT.replace("def mapper", "print('loaded')\ndef mapper")
    pods.ended(pods.start("--workers=1", worker=worker, name="prints"))

    logs = pods.cli.run("logs", "prints").stdout

    assert pods.pods("master") == pods.pods("worker") == []
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
    slow = pods.start("--workers=1", worker=SLOW, name="slow")
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
    status = json.loads(pods.cli.run("status", "detached", "--json").stdout)
    followed = pods.ended(pods.run("attach", "detached"))

    assert status["state"] == "running"
    assert "Map reduce completed" in followed
    assert pods.rows("detached") == ROWS


def test_a_run_is_cancelled_from_here_and_nothing_of_it_stays(pods: PodsRun) -> None:
    """Neither pods nor attempts; it is not resumed by mistake."""
    pods.ended(pods.start("--workers=1", "--detach", worker=SLOW, name="cancelled"))
    pods.until_it_maps("cancelled")

    said = pods.ended(pods.run("cancel", "cancelled"))

    assert "cancelled is stopped; nothing of it is kept" in said
    assert pods.left() == []
    pods.cli.run("resume", "cancelled").refused(4, "was cancelled")


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


def test_a_terminal_that_is_closed_leaves_the_run_alone(pods: PodsRun) -> None:
    """The laptop may be shut; attach follows it to its end."""
    run = pods.start("--workers=1", worker=SLOW, name="closed")
    pods.until_it_maps("closed")

    run.popen.send_signal(signal.SIGHUP)
    pods.ended(run, code=129)
    assert pods.pods("master") != []
    pods.ended(pods.run("attach", "closed"))

    assert pods.rows("closed") == ROWS
