"""Runs in pods of a real cluster, on the real command line, in a namespace of their own.

with new_namespace() as kube:
pods = PodsRun(kube, tmp_path)
run = pods.start("--workers=2", SLOW)
pods.until_it_maps("words")
…
assert run.ends() == 0
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hosts_run import Running
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects import labels
from real_cluster import (
    KINDS,
    bring_images,
    command_line,
    kubectl,
    ours,
    storage_image,
    until,
)

ENDS_S = 420.0  # a run whose images are made first
COUNT = """\
import pymr

def mapper(ctx, line):
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
"""
# A tenth of a second for each of the lines: 16 s for one worker, time enough to get in the way.
SLOW = COUNT.replace("import pymr\n", "import threading\nimport pymr\n").replace(
    "    for word", "    threading.Event().wait(0.1)\n    for word"
)
LINES = [f"line{n:03d} {'even' if n % 2 else 'odds'} {n % 7}\n" for n in range(160)]
SETTINGS = ("--mappers=8", "--reducers=2", "--input=in.txt")
ROWS = sorted(
    [f"line{n:03d}\t1" for n in range(160)]
    + ["even\t80", "odds\t80"]
    + [f"{n}\t{len([m for m in range(160) if m % 7 == n])}" for n in range(7)]
)


class PodsRun:
    """A folder for commands about a namespace, and what runs there."""

    def __init__(self, kube: Kube, folder: Path) -> None:
        self.kube = kube
        self.cli = command_line(kube, folder)
        self.cli.environ["PYMR_CONTEXT"] = kube.context
        self._started: list[Running] = []
        self.cli.write("in.txt", "".join(LINES))
        bring_images(kube)

    def run(self, *arguments: str) -> Running:
        """Run a command of `pymr`."""
        name = f"{len(self._started)}-{arguments[0]}"
        running = Running(self.cli, name, (str(self.cli.pymr), *arguments), {})
        self._started.append(running)
        return running

    def start(self, *arguments: str, worker: str = COUNT, name: str = "words") -> Running:
        """Start the job in pods, under a name."""
        self.cli.write("worker.py", worker)
        image = f"--minio-image={storage_image(self.kube)}"
        to = ("--on=kubernetes", image, f"--name={name}", *SETTINGS)
        return self.run("start", *to, *arguments, "worker.py")

    def ended(self, running: Running, *parts: str, code: int = 0) -> str:
        """Wait for the end of a command, assert its exit code and `parts` of what it has said."""
        until("it does not end", lambda: not running.is_alive, ENDS_S)
        assert running.popen.returncode == code, running.said
        assert [part for part in parts if part not in running.said] == [], running.said
        return running.said

    def rows(self, name: str = "words") -> list[str]:
        """Return the rows of a result, read from outside of the cluster."""
        read = self.cli.run("cat", name)
        assert read.code == 0, read.stderr
        return sorted(read.stdout.splitlines())

    def history(self, name: str = "words") -> list[dict[str, Any]]:
        """Return the events of a run; none yet, if it is not known."""
        shown = self.cli.run("show", name, "--json")
        return [json.loads(line) for line in shown.stdout.splitlines()] if not shown.code else []

    def until_it_maps(self, name: str = "words") -> None:
        """Wait until map tasks are done by workers, but not all."""
        until(
            "no map task is done",
            lambda: any(each["kind"] == "TaskCommitted" for each in self.history(name)),
            ENDS_S,
        )

    def pods(self, component: str) -> list[str]:
        """Return the pods of masters or workers that run."""
        selector = f"{labels.COMPONENT}={component},{labels.RUN}"
        running = ("--field-selector=status.phase=Running", "-o", "name")
        return kubectl(self.kube, "get", "pods", "-l", selector, *running).split()

    def left(self) -> list[str]:
        """Return what the cluster has of runs: all of ours but the storage."""
        return [each for each in ours(self.kube) if "/pymr-" in each]

    def of_run(self, name: str) -> str:
        """Return what the cluster has of the job of that name."""
        selector = f"{labels.JOB}={name}"
        return kubectl(self.kube, "get", KINDS, "-l", selector, "-o", "name")

    def stop(self) -> None:
        """End the commands that still run."""
        for each in self._started:
            if each.is_alive:
                os.kill(each.popen.pid, 9)
                each.popen.wait()
