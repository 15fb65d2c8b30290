"""Kills, stops and interrupts a run over and over, resumes it, and demands the same bytes.

    python tests/chaos.py --minutes 10 [--seed 1] [--rounds 3] [--first 7]

A round is one run of one of the jobs below, in a folder of its own, until it is done. Again and
again, after a while that is drawn by lot, the command or one of its task processes gets SIGKILL,
SIGTERM, SIGINT, or SIGSTOP and later SIGCONT. When the command has ended, nothing that it has
started may be left; then it is resumed. At the end its parts have the bytes of an undisturbed
run, its output verifies, and no file is left that such a run does not leave.

The lots of a round depend on the seed and its number alone, so `--seed 1 --first 7 --rounds 1`
draws those of round 7 again. Signals go to processes that it started, and to no others.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cli import PYMR, CommandLine
from pymr.store.local import LocalStore
from pymr.task.commit import verify_output
from stopped_run import objects, processes_of

LINES = 30_000
LIVES_MAX = 60  # of a run; each finishes something, most of the time
TASK_KILLS_MAX = 2  # in a life: a task that loses its process four times is refused
DEADLINE_S = 120.0  # of a life
ENDED = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 130, 143}  # by a signal of ours
SETTINGS = ("--workers=2", "--mappers=12", "--reducers=3", "--spill=64K", "--name=chaos")
HEAD = "import pymr\n\ndef mapper(ctx, line):\n    for word in line.split():\n"


class Kind(NamedTuple):
    """One kind of job."""

    worker: str
    arguments: tuple[str, ...] = ("--input=in.txt",)


JOBS = {
    "combiner": Kind(
        f"{HEAD}        ctx.emit(word, 1)\n\n"
        "def reducer(ctx, key, values):\n"
        "    ctx.emit(key, sum(values))\n\n"
        "job = pymr.Job(mapper=mapper, combiner=pymr.SUM, reducer=reducer, input=pymr.LINES)\n"
    ),
    "function reducer": Kind(
        f"{HEAD}        ctx.emit(word[:3], word)\n\n"
        "def reducer(ctx, key, values):\n"
        "    words = list(values)\n"
        "    ctx.emit(key, (len(words), words[0], words[-1], max(words)))\n\n"
        "job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)\n"
    ),
    "sort": Kind(
        f"{HEAD}        ctx.emit((word, ctx.input.offset), 1)\n\n"
        "job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)\n",
        ("--input=in.txt", "--sort"),
    ),
    "map only": Kind(
        f"{HEAD}        ctx.emit(word, ctx.input.offset)\n\n"
        "job = pymr.Job(mapper=mapper, input=pymr.LINES)\n"
    ),
    "gzip": Kind(
        f"{HEAD}        ctx.emit(word, 1)\n\n"
        "job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)\n",
        ("--input=0.gz", "--input=1.gz", "--input=2.gz"),
    ),
}


class Undisturbed(NamedTuple):
    """What a run gives that nobody disturbs."""

    parts: dict[str, bytes]
    left: list[str]
    duration_s: float


def prepared(folder: Path, job: Kind) -> CommandLine:
    """Return a folder with the inputs and the worker of a job."""
    folder.mkdir()
    cli = CommandLine(folder)
    lots = random.Random("input")
    words = [f"{lots.randrange(16**5):05x}" for _ in range(3000)]
    lines = [" ".join(lots.choices(words, k=6)) + "\n" for _ in range(LINES)]
    cli.write("in.txt", "".join(lines))
    for number in range(3):
        cli.write(f"{number}.gz", gzip.compress("".join(lines[number::3]).encode(), mtime=0))
    cli.write("worker.py", job.worker)
    return cli


def start_of(job: Kind) -> tuple[str, ...]:
    # A part of a map-only job follows its splits.
    settings = [s for s in SETTINGS if "reducer=" in job.worker or "--reducers" not in s]
    return ("start", "--output=out", *job.arguments, *settings, "worker.py")


def parts(cli: CommandLine) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (cli.folder / "out").glob("part-*")}


def undisturbed(folder: Path, job: Kind) -> Undisturbed:
    """Run a job to its end."""
    cli = prepared(folder, job)
    began = time.monotonic()
    outcome = cli.run(*start_of(job))
    assert outcome.code == 0, outcome.stderr
    return Undisturbed(parts(cli), objects_of(cli), time.monotonic() - began)


def objects_of(cli: CommandLine) -> list[str]:
    """Return what lies in the output, attempts without their numbers."""
    return sorted(
        "-".join(name.split("-")[:2]) if name.startswith(("map-", "reduce-")) else name
        for name in objects(cli)
    )


class Round:
    """One run that is disturbed until it is done."""

    def __init__(self, cli: CommandLine, job: Kind, expected: Undisturbed, lots: random.Random):
        self.log: list[str] = []
        self._cli = cli
        self._job = job
        self._expected = expected
        self._lots = lots

    def run(self) -> Counter[str]:
        """Return how often each thing was done; raises AssertionError if a promise is broken."""
        done: Counter[str] = Counter()
        command = start_of(self._job)
        for life in range(LIVES_MAX):
            # Ever longer: on a machine that became busy a life must still get somewhere.
            pause_s = self._expected.duration_s / 2 * (1 + life / 5)
            code, said, signals = self._live(command, pause_s)
            done += signals
            done["lives"] += 1
            if code == 0:
                break
            assert_none_left(self._cli)
            is_unbegun = code == 4 and (
                "it ended before it began" in said or "no run `out`" in said
            )
            # SIGINT before Python has come to a line of ours.
            is_python = "Fatal Python error: init" in said and "KeyboardInterrupt" in said
            assert code in ENDED or is_unbegun or is_python, f"exit {code}\n{said}"
            command = start_of(self._job) if is_unbegun else ("resume", "out")
        else:
            raise AssertionError(f"not done after {LIVES_MAX} lives")
        self._check()
        return done

    def _live(self, command: tuple[str, ...], pause_s: float) -> tuple[int, str, Counter[str]]:
        """Run a command and disturb it until it ends, after `pause_s` at most, again and again.

        Return code, stderr, what was done.
        """
        done: Counter[str] = Counter()
        said = self._cli.folder.parent / "stderr"
        with said.open("wb") as stderr:
            popen = subprocess.Popen(
                ["env", "--default-signal", PYMR, *command],
                cwd=self._cli.folder,
                env=self._cli.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
            self.log.append(" ".join(command[:2]))
            deadline = time.monotonic() + DEADLINE_S
            try:
                while time.monotonic() < deadline:
                    pause = self._lots.uniform(0, pause_s)
                    with suppress(subprocess.TimeoutExpired):
                        popen.wait(pause)
                        break
                    self._disturb(popen.pid, done)
                assert popen.poll() is not None, f"it hangs: no end after {DEADLINE_S:g} s"
            finally:
                popen.kill()
                popen.wait()
        self.log.append(f"exit {popen.returncode}")
        return popen.returncode, said.read_text(errors="replace"), done

    def _disturb(self, pid: int, done: Counter[str]) -> None:
        """Send a signal to the command or to one of its task processes."""
        tasks = children_of(pid)
        is_task = bool(tasks) and self._lots.random() < 0.5
        victim = self._lots.choice(tasks) if is_task else pid
        names = ["SIGKILL", "SIGSTOP"] if is_task else ["SIGKILL", "SIGTERM", "SIGINT", "SIGSTOP"]
        name = self._lots.choice(names)
        if is_task and name == "SIGKILL" and done["SIGKILL of a task"] == TASK_KILLS_MAX:
            return
        what = f"{name} of {'a task' if is_task else 'the command'}"
        self.log.append(what)
        done[what] += 1
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(victim)
            try:
                signal.pidfd_send_signal(descriptor, signal.Signals[name])
                if name == "SIGSTOP":
                    select.select([descriptor], [], [], self._lots.uniform(0, 0.5))
                    signal.pidfd_send_signal(descriptor, signal.SIGCONT)
            finally:
                os.close(descriptor)

    def _check(self) -> None:
        """Compare what is there with the undisturbed run."""
        assert_none_left(self._cli)
        assert parts(self._cli) == self._expected.parts, "other bytes"
        assert objects_of(self._cli) == self._expected.left, objects(self._cli)
        assert verify_output(LocalStore(str(self._cli.folder / "out"))) == []
        assert list(self._cli.temporary.iterdir()) == [], "temporary files"


def children_of(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def assert_none_left(cli: CommandLine) -> None:
    """Wait for processes that the kernel is ending; none may stay."""
    for pid in map(int, processes_of(cli)):
        with suppress(ProcessLookupError), os.fdopen(os.pidfd_open(pid)) as file:
            select.select([file], [], [], 10)
    assert processes_of(cli) == [], "orphans"


def say(text: object) -> None:
    """Tell whoever watches."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run rounds until the time is up, and return 1 at the first broken promise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rounds", type=int, default=10**6, help="at most so many")
    parser.add_argument("--first", type=int, default=1, help="number of the first round")
    options = parser.parse_args()
    say(f"seed {options.seed}")
    folder = Path(tempfile.mkdtemp(prefix="pymr-chaos-"))
    expected: dict[str, Undisturbed] = {}
    deadline = time.monotonic() + options.minutes * 60
    total: Counter[str] = Counter()
    number = options.first
    while time.monotonic() < deadline and number < options.first + options.rounds:
        lots = random.Random(f"{options.seed} {number}")
        name = lots.choice(sorted(JOBS))
        if name not in expected:
            expected[name] = undisturbed(folder / f"undisturbed {name}", JOBS[name])
        cli = prepared(folder / str(number), JOBS[name])
        disturbed = Round(cli, JOBS[name], expected[name], lots)
        try:
            done = disturbed.run()
        except AssertionError as error:
            again = f"--seed {options.seed} --first {number} --rounds 1"
            say(f"round {number}, {name}: {error}\n{disturbed.log}\nkept: {cli.folder}\n{again}")
            return 1
        total += done
        total["rounds"] += 1
        say(f"round {number}, {name}: {done['lives']} lives")
        shutil.rmtree(folder / str(number))
        number += 1
    shutil.rmtree(folder)
    say(", ".join(f"{count} {what}" for what, count in sorted(total.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
