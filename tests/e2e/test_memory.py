"""`--memory` is a promise for the sum of all processes, whatever the input: held here from outside.

The sampler is the benchmark's: it asks the kernel for the whole sum of PSS, ten times a second.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from memory_sample import SAMPLE_INTERVAL_S, pss_bytes

from cli import PYMR, CommandLine

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells how pages are shared"),
    pytest.mark.timeout(300),
]
MIB = 1 << 20
DEADLINE_S = 240.0

# 16 lines of a number; each is so many records of 430 bytes: 620 MB in all, most of a buffer twice.
RECORDS = 90_000
MAPPER = """\
import pymr

PAD = "x" * 400

def mapper(ctx, line):
    count = int(ctx.params["records"])
    start = int(line) * count
    for number in range(start, start + count):
        ctx.emit(KEY, PAD)

def reducer(ctx, key, values):
    ctx.emit(key, sum(1 for _ in values))

job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
"""
DISTINCT = MAPPER.replace("KEY", 'f"{number * 2654435761 % (1 << 32):010}"')
ONE_KEY = MAPPER.replace("KEY", '"all"')
LONG_KEYS = """\
import pymr

def mapper(ctx, line):
    ctx.emit(line * 40, 1)

job = pymr.Job(mapper=mapper, reducer=lambda ctx, key, values: ctx.emit(key, 1), input=pymr.LINES)
"""
LARGE = """\
import pymr

def mapper(ctx, line):
    ctx.emit(line[:1], line)

def reducer(ctx, key, values):
    ctx.emit(key, sum(1 for _ in values))

job = pymr.Job(mapper=mapper, reducer=reducer, input=pymr.LINES)
"""
WORDS = """\
import pymr

def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values):
    ctx.emit(key, list(values))

job = pymr.Job(mapper=mapper, reducer=reducer)
"""


class Watched(NamedTuple):
    """A run that succeeded, and the most that its processes used together."""

    peak_bytes: int
    reported_bytes: int
    stderr: str
    folder: Path

    @property
    def parts(self) -> bytes:
        """The bytes of the parts, in order."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("part-*")))

    def kept_within(self, limit_bytes: int, *, agreement: float = 0.25) -> None:
        """Assert the promise, and that the run knows what it used, by samples of its own.

        Between two samples it may change by tens of MB.
        """
        assert self.peak_bytes <= limit_bytes, f"{self.peak_bytes / MIB:.1f} MiB"
        assert self.reported_bytes == pytest.approx(self.peak_bytes, rel=agreement)
        shown = f"memory peak {-(-self.reported_bytes // MIB)}M of {limit_bytes // MIB}M"
        assert shown in self.stderr


def watched(cli: CommandLine, worker: str, *arguments: str, output: str = "out") -> Watched:
    """Run a job, and sample it until its end."""
    cli.write("worker.py", worker)
    command = [PYMR, "start", f"--output={output}", *arguments, "worker.py"]
    peak = 0
    stderr = cli.folder / "stderr"
    with stderr.open("wb") as errors:
        process = subprocess.Popen(command, cwd=cli.folder, env=cli.environ, stderr=errors)
        deadline = time.monotonic() + DEADLINE_S
        try:
            while process.poll() is None and time.monotonic() < deadline:
                peak = max(peak, pss_bytes(process.pid))
                with_pause(process)
        finally:
            process.kill()
            process.wait()
    said = stderr.read_text()
    assert process.returncode == 0, said
    folder = cli.folder / output
    manifest = json.loads((folder / "_pymr/MANIFEST.json").read_bytes())
    return Watched(peak, manifest["memory"]["peak_bytes"], said, folder)


def with_pause(process: subprocess.Popen[bytes]) -> None:
    """Wait for the next sample, or the end."""
    try:
        process.wait(SAMPLE_INTERVAL_S)
    except subprocess.TimeoutExpired:
        return


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """A folder with sixteen numbers."""
    cli = CommandLine(tmp_path)
    cli.write("numbers.txt", "".join(f"{number:03}\n" for number in range(16)))
    return cli


def test_distinct_keys_stay_within_512_mib(cli: CommandLine) -> None:
    """Each key is another one: buffers spill, merges read ahead."""
    numbers = ("--input=numbers.txt", "--workers=2", "--mappers=2", "--reducers=2")

    run = watched(cli, DISTINCT, *numbers, "--memory=512M", f"--set=records={RECORDS}")

    run.kept_within(512 * MIB)
    assert run.peak_bytes > 256 * MIB, "what is not used is of no use"
    assert run.parts.count(b"\t1\n") == 16 * RECORDS


def test_f87_one_key_that_holds_everything_stays_within_512_mib(cli: CommandLine) -> None:
    """Its values are larger than the memory, and reach the reducer as they stream by."""
    numbers = ("--input=numbers.txt", "--workers=2", "--mappers=2", "--reducers=1")

    run = watched(cli, ONE_KEY, *numbers, "--memory=512M", f"--set=records={RECORDS}")

    # What a spill puts in order is there for some 100 ms: one sampler may see it, another not.
    run.kept_within(512 * MIB, agreement=0.4)
    assert run.peak_bytes > 128 * MIB
    assert run.parts == f"all\t{16 * RECORDS}\n".encode()


def words(count: int) -> str:
    """Return lines of words, some of which come often."""
    return "".join(
        f"w{n * 48271 % 2147483647 % (3000 if n % 2 else 10**9)}{' ' if n % 12 else chr(10)}"
        for n in range(count)
    )


def test_workers_that_do_not_fit_are_cut_and_the_bytes_are_the_same(cli: CommandLine) -> None:
    """As with plenty of memory, in which nothing is spilled."""
    job = ("--input=numbers.txt", "--mappers=16", "--reducers=3", "--set=records=30000")

    small = watched(cli, DISTINCT, *job, "--workers=40", "--memory=256M")
    large = watched(cli, DISTINCT, *job, "--workers=2", "--memory=4G", output="large")

    small.kept_within(256 * MIB)
    # How many depends on what the interpreter takes, some 8 MiB in each.
    assert re.search("warning: workers is 16, going on with [678]: each takes ", small.stderr)
    assert small.parts == large.parts


def test_many_map_outputs_and_partitions_stay_within_256_mib(cli: CommandLine) -> None:
    """Each reduce task reads the ends of all map outputs, with an index of all partitions."""
    cli.write("words.txt", words(300_000))
    job = ("--input=words.txt", "--mappers=150", "--reducers=150")

    run = watched(cli, WORDS, *job, "--workers=2", "--memory=256M")

    run.kept_within(256 * MIB)
    assert len(list(run.folder.glob("part-*"))) == 150


def test_a_sample_of_long_keys_for_many_parts_stays_within_256_mib(cli: CommandLine) -> None:
    """The runner holds it, while all task processes are there."""
    cli.write("lines.txt", "".join(f"{number:06}\n" for number in range(300_000)))
    job = ("--input=lines.txt", "--sort", "--reducers=300")

    run = watched(cli, LONG_KEYS, *job, "--workers=8", "--mappers=8", "--memory=256M")

    run.kept_within(256 * MIB)
    keys = [row[:6] for row in run.parts.splitlines()]
    assert keys == [b"%06d" % number for number in range(300_000)]


def test_thousands_of_small_files_stay_within_256_mib(cli: CommandLine) -> None:
    """The runner knows each of them, and so does the manifest."""
    for number in range(3000):
        cli.write(f"files/{number}.txt", f"file {number}\n" * 3)

    run = watched(cli, WORDS, "--input=files", "--workers=4", "--memory=256M")

    run.kept_within(256 * MIB)
    assert run.parts.count(b"\n") == 3001


def test_large_records_stay_within_512_mib(cli: CommandLine) -> None:
    """Lines of 12 MiB that are emitted whole: each is there several times while it goes through."""
    cli.write("large.txt", "".join(f"{n}{chr(97 + n) * 12 * MIB}\n" for n in range(12)))

    run = watched(
        cli,
        LARGE,
        "--input=large.txt",
        "--workers=2",
        "--mappers=2",
        "--reducers=2",
        "--memory=512M",
    )

    run.kept_within(512 * MIB)
    assert run.parts.count(b"\n") == 10


def test_what_a_caller_of_pymr_run_holds_is_its_own(cli: CommandLine) -> None:
    """A notebook may have more in memory than its job may use."""
    peak = cli.python(
        "import pymr\n"
        "held = bytes(range(256)) * (600 << 12)\n"
        "job = pymr.Job(mapper=lambda ctx, line: ctx.emit(line, 1), reducer=pymr.SUM)\n"
        "result = pymr.run(job, input='numbers.txt', output='out', workers=1, memory='256M')\n"
        "print(result.manifest.memory.peak_bytes)\n"
    )

    assert 10 * MIB < int(peak) < 100 * MIB
