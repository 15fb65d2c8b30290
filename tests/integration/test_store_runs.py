"""Runs whose output is in a store: the same bytes, and the same commands, as in a folder."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

import pymr
from cli import COUNT_WORDS, CommandLine, Outcome
from hosts_run import until
from pymr.names import CLAIM, alive_key, journal_key, run_prefix
from pymr.store.access import Access, open_store
from pymr.store.base import ObjectStore
from s3_request import Server
from services import access_to, new_bucket, trust
from services import minio as minio_alone
from stopped_run import MAP_ONLY, calls, prepare, undisturbed

pytestmark = pytest.mark.services

SETTINGS = ("--input=in.txt", "--workers=1", "--mappers=4", "--reducers=2", "--name=words")
WAIT = """\
import os, select
open("there", "w").close()
while not os.path.exists("go"):
    select.select([], [], [], 0.02)
"""


class InStore:
    """A folder to work in, and the prefix of a bucket for outputs."""

    def __init__(self, cli: CommandLine, address: str, access: Access) -> None:
        self.cli = cli
        self.output = f"{address}/out"
        self.objects: ObjectStore = open_store(self.output, access)

    def start(self, *arguments: str) -> Outcome:
        """Run the job of the folder."""
        return self.cli.run("start", *SETTINGS, f"--output={self.output}", *arguments, "worker.py")

    def begin(self, at: str = "line17") -> subprocess.Popen[bytes]:
        """Start a run that waits at a record or key until there is a file `go`."""
        self.cli.write(f"at-{at}", "do")
        self.cli.write("then.py", WAIT)
        output = f"--output={self.output}"
        process = subprocess.Popen(
            [self.cli.pymr, "start", *SETTINGS, output, "worker.py"],
            cwd=self.cli.folder,
            env=self.cli.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        there = self.cli.folder / "there"
        until("it does not come so far", lambda: there.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def rows(self) -> list[str]:
        """Return the rows of the parts, as any tool finds them."""
        parts = sorted(key for key in self.names() if key.startswith("part-"))
        text = b"".join(map(self.objects.get, parts)).decode()
        return text.split("\n")[:-1]

    def names(self, prefix: str = "") -> list[str]:
        """Return the keys of the output."""
        return [entry.key for entry in self.objects.list(prefix)]

    def run_id(self) -> str:
        """Return the id of the only run."""
        ids = {key.split("/")[1] for key in self.names("_pymr") if key.count("/") > 1}
        (run,) = ids
        return run


@pytest.fixture
def store(tmp_path: Path, minio: Server) -> InStore:
    return in_store(tmp_path, minio)


def in_store(tmp_path: Path, minio: Server) -> InStore:
    cli, access = CommandLine(tmp_path), access_to(minio)
    cli.environ |= {
        "AWS_ENDPOINT_URL": minio.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": minio.access_key_id,
        "AWS_SECRET_ACCESS_KEY": minio.secret_access_key,
    }
    prepare(cli)
    bucket = new_bucket(minio)
    trust(minio, bucket, cli.home / "state")
    return InStore(cli, f"s3://{bucket}/some where", access)


def test_a_result_in_a_store_has_the_bytes_of_one_in_a_folder(
    store: InStore, tmp_path: Path
) -> None:
    """Parts and `_SUCCESS` for any tool; `head`, `cat`, `cp`, `verify` and `audit` read it."""
    expected = undisturbed(tmp_path)

    outcome = store.start()

    assert outcome.code == 0, outcome.stderr
    assert "All workers connected" in outcome.stderr
    assert store.rows() == expected
    assert store.objects.get("_SUCCESS") == store.objects.get("_pymr/MANIFEST.json")
    run = store.cli.run
    assert run("cat", store.output).stdout.splitlines() == expected
    assert run("head", "-n2", "words").stdout.splitlines() == expected[:2]
    assert run("verify", store.output).code == run("audit", "words").code == 0
    assert run("cp", store.output, "copied").code == 0
    parts = sorted((store.cli.folder / "copied").iterdir())
    assert b"".join(part.read_bytes() for part in parts) == ("\n".join(expected) + "\n").encode()
    assert list(store.cli.temporary.iterdir()) == [], "spills were here"


def test_no_secret_is_written_anywhere(store: InStore) -> None:
    """Neither into the store nor on this machine; where the store is may be known."""
    secret = store.cli.environ["AWS_SECRET_ACCESS_KEY"].encode()

    outcome = store.start("--verbose", "--json", "--keep")

    assert outcome.code == 0, outcome.stderr
    bodies = [store.objects.get(key) for key in store.names()]
    files = [path.read_bytes() for path in store.cli.home.rglob("*") if path.is_file()]
    assert len(files) >= 1
    for body in (*bodies, *files, outcome.stdout.encode(), outcome.stderr.encode()):
        assert secret not in body


def test_a_run_that_was_killed_goes_on(store: InStore, tmp_path: Path) -> None:
    """What it had finished is kept; the claim of the dead process is taken over."""
    expected = undisturbed(tmp_path)
    process = store.begin("key-even")
    folder = journal_key(store.run_id())

    def committed() -> int:
        return b"".join(map(store.objects.get, store.names(folder))).count(b"TaskCommitted")

    until("four are not committed", lambda: committed() >= 4)
    assert process.poll() is None, "it waits"
    process.kill()
    process.communicate()
    assert len(calls(store.cli, "map")) == 32
    (store.cli.folder / "go").touch()
    assert '"state": "died"' in store.cli.run("jobs", "--json").stdout
    store.start().refused(4, "pymr resume words, or pymr cancel words and start again")

    resumed = store.cli.run("resume", "words")

    assert resumed.code == 0, resumed.stderr
    assert calls(store.cli, "map") == []
    assert store.rows() == expected
    assert "nothing to remove" in store.cli.run("gc", store.output).stderr


def test_the_output_of_a_run_that_died_is_not_another_s(store: InStore) -> None:
    """No lock tells that it is dead, so somebody has to say what becomes of it."""
    store.cli.write("at-line17", "kill-runner")
    store.start()
    where = shlex.quote(store.output)
    told = ["shows no sign of life", f"pymr resume {where}", f"pymr cancel {where}"]

    store.start("--overwrite").refused(4, *told)
    store.cli.run("gc", "words").refused(4, *told)

    assert store.cli.run("cancel", "words").code == 0
    assert store.start("--overwrite").code == 0
    assert store.cli.run("verify", store.output).code == 0


def test_a_run_that_died_may_be_done_anew(store: InStore, tmp_path: Path) -> None:
    """`--restart` gives its claim up, and all that it had done."""
    expected = undisturbed(tmp_path)
    store.cli.write("at-line17", "kill-runner")
    store.start()
    calls(store.cli, "map")

    assert store.cli.run("resume", "--restart", "words").code == 0

    assert len(calls(store.cli, "map")) == 32
    assert store.rows() == expected


def test_f64_an_earlier_process_of_a_run_is_deposed(store: InStore, tmp_path: Path) -> None:
    """One that stood still, and was taken for dead, ends with exit 10 and changes nothing."""
    expected = undisturbed(tmp_path)
    earlier = store.begin()
    earlier.send_signal(signal.SIGSTOP)
    (store.cli.folder / "go").touch()

    def is_taken_on() -> bool:
        store.objects.delete(alive_key(store.run_id()))  # One may be on its way.
        return store.cli.run("resume", "words").code == 0

    until("it is not taken on", is_taken_on)
    committed = store.objects.get("_pymr/MANIFEST.json")
    earlier.send_signal(signal.SIGCONT)
    _, said = earlier.communicate(timeout=60)

    assert earlier.returncode == 10, said
    assert b"deposed by epoch 2" in said
    assert store.objects.get("_pymr/MANIFEST.json") == committed
    assert store.rows() == expected
    assert store.cli.run("verify", store.output).code == 0


def test_a_run_that_lives_is_not_taken_on(store: InStore) -> None:
    """It shows that it lives; so it is followed, or cancelled."""
    living = store.begin()

    store.cli.run("resume", "words").refused(4, "run words still runs", "pymr attach words")
    store.start("--overwrite").refused(4, "is claimed by run")
    cancelled = store.cli.run("cancel", "words")
    (store.cli.folder / "go").touch()
    _, said = living.communicate(timeout=60)

    assert cancelled.code == 0, cancelled.stderr
    assert (living.returncode, b"cancelled by `pymr cancel`" in said) == (143, True)
    assert not any(key.rpartition("/")[2].startswith("map-0") for key in attempts(store))
    assert '"state": "cancelled"' in store.cli.run("jobs", "--json").stdout


def attempts(store: InStore) -> list[str]:
    top = run_prefix(store.run_id())
    return [key for key in store.names(top) if "/logs/" not in key]


def test_an_output_is_replaced_only_if_that_is_asked_for(store: InStore) -> None:
    """A map-only job has four parts; those of the new one are two, and no other is left."""
    store.cli.write("worker.py", MAP_ONLY)
    assert store.start().code == 0
    prepare(store.cli)

    refused = store.start()
    replaced = store.start("--overwrite")

    assert refused.code == 4
    assert f"output `{store.output}` exists: run words" in refused.stderr
    assert replaced.code == 0, replaced.stderr
    assert [key for key in store.names() if not key.startswith("_")] == [
        "part-00000.tsv",
        "part-00001.tsv",
    ]
    assert len(store.cli.run("gc", store.output).stdout) == 0


def test_bad_records_are_tried_again(store: InStore, tmp_path: Path) -> None:
    """`errors` shows them, `replay` makes the result that it would have been."""
    expected = undisturbed(tmp_path)
    store.cli.write("at-line17", "raise")
    assert store.start("--skip-bad-records=1").code == 0
    assert "line17" in store.cli.run("errors", "words").stdout
    (store.cli.folder / "at-line17").unlink()

    replayed = store.cli.run("replay", "words")

    assert replayed.code == 0, replayed.stderr
    assert store.rows() == expected


def test_what_was_printed_is_in_the_store(store: InStore) -> None:
    """As soon as an attempt is at its end; nothing of it stays on this machine."""
    worker = COUNT_WORDS.replace("for word", "print('chunk of', len(chunk))\n    for word")
    store.cli.write("worker.py", worker)

    assert store.start().code == 0

    rows = map(json.loads, store.cli.run("logs", "words", "--json").stdout.splitlines())
    told = {row["task"]: row["text"] for row in rows}
    assert [task for task in told if task.startswith("map")] == [f"map-{n:04d}" for n in range(4)]
    assert told["map-0000"].startswith("chunk of ")
    assert list(store.cli.temporary.iterdir()) == []


def test_what_is_not_ours_is_left_alone(store: InStore) -> None:
    """A prefix in which somebody keeps files is no output; they are named."""
    store.objects.put_if_absent("notes.txt", b"mine")
    store.objects.put_if_absent("more/notes.txt", b"mine")

    store.start().refused(4, "holds files that are not PyMR's", "`more`, `notes.txt`")

    assert store.names() == ["more/notes.txt", "notes.txt"]


def test_an_output_has_a_place_below_the_store(store: InStore) -> None:
    """`--store` without `--output`."""
    below = store.output.rpartition("/")[0]

    outcome = store.cli.run("start", *SETTINGS, f"--store={below}", "worker.py")

    assert outcome.code == 0, outcome.stderr
    assert store.cli.run("verify", f"{below}/outputs/words").code == 0


def test_a_library_runs_into_a_store(
    store: InStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pymr.run` gives a result that is read from there, by address too."""
    expected = dict(row.split("\t") for row in undisturbed(tmp_path))
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, store.cli.environ[name])

    def mapper(ctx: pymr.Context, line: str) -> None:
        for word in line.split():
            ctx.emit(word, 1)

    job = pymr.Job(mapper=mapper, reducer=pymr.SUM, input=pymr.LINES)
    result = pymr.run(job, input=store.cli.folder / "in.txt", output=store.output, workers=1)

    found = {key: str(value) for key, value in result}
    assert found == expected
    assert dict(pymr.Result(store.output)) == dict(result)


def test_a_store_that_is_gone_does_not_stop_a_list_of_runs(store: InStore) -> None:
    """It is told as that."""
    assert store.start().code == 0
    (listed,) = (store.cli.home / "state/pymr/runs").iterdir()
    known = json.loads(listed.read_bytes())
    listed.write_text(json.dumps({**known, "endpoint": "http://127.0.0.1:9"}))

    jobs = store.cli.run("jobs", "--json", environ={"AWS_ENDPOINT_URL": ""})

    assert json.loads(jobs.stdout)["state"] == "unreachable"
    assert os.environ.get("AWS_ENDPOINT_URL") is None


def test_the_claim_of_a_run_that_is_over_is_free(store: InStore) -> None:
    """One that has failed, too: the next may begin."""
    store.cli.write("at-line17", "raise")
    assert store.start().code == 1
    assert b'"released":true' in store.objects.get(CLAIM)

    (store.cli.folder / "at-line17").unlink()
    assert store.start("--overwrite").code == 0


def test_a_run_whose_store_does_not_come_back_ends_once_it_has_waited(tmp_path: Path) -> None:
    """Exit 5, with how to go on; not once more for each thing that there was yet to do."""
    with minio_alone() as server:
        store = in_store(tmp_path, server)
        store.cli.environ["PYMR_STORAGE_WAIT"] = "3s"
        process = store.begin()
    started = time.monotonic()
    (store.cli.folder / "go").touch()

    _, said = process.communicate(timeout=60)

    assert (process.returncode, b"the store does not answer" in said) == (5, True), said
    assert b"pymr resume" in said
    assert time.monotonic() - started < 40, "the attempt, the journal, the history, each once"
