"""The commands around a run: `jobs`, `show`, `errors`, `plan`, `init` and those about PyMR itself."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cli import CommandLine
from viewed_run import NUMBERS, WORKER, json_of, lines_of, run_of


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder with one run in `out`, which tests only look at."""
    return run_of(tmp_path_factory.mktemp("views"), NUMBERS)


@pytest.fixture
def own(tmp_path: Path) -> CommandLine:
    """A folder with a run of the test's own, to damage."""
    return run_of(tmp_path, NUMBERS)


# -- jobs, show, errors ------------------------------------------------------------------------


def test_jobs_lists_runs_newest_first(own: CommandLine) -> None:
    """Name, state and output; `-n` cuts; a run whose output is gone says so."""
    for name in ("second", "third"):
        started = own.run(
            "start", "--input=in.txt", f"--output={name}", f"--name={name}", "worker.py"
        )
        assert started.code == 0, started.stderr
    shutil.rmtree(own.folder / "second")

    rows = [json.loads(line) for line in lines_of(own, "jobs", "--json")]

    assert [(row["name"], row["state"]) for row in rows] == [
        ("third", "done"),
        ("second", "gone"),
        ("counts", "done"),
    ]
    assert rows[0]["output"] == str(own.folder / "third")
    lines = lines_of(own, "jobs")
    assert [line.split()[:2] for line in lines] == [[row["name"], row["state"]] for row in rows]
    assert len(lines_of(own, "jobs", "-n", "1")) == 1


def test_jobs_of_a_new_account(tmp_path: Path) -> None:
    """None, and what to do next, on stderr; no JSON line."""
    cli = CommandLine(tmp_path)

    outcome = cli.run("jobs")

    assert (outcome.code, outcome.stdout) == (0, "")
    assert "no runs yet; next: pymr start" in outcome.stderr
    assert lines_of(cli, "jobs", "--json") == []


def test_jobs_is_one_line_for_each_run_whatever_its_path(tmp_path: Path) -> None:
    """Of a path with a newline, too."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "1 1\n")
    cli.write("worker.py", WORKER)
    assert cli.run("start", "--input=in.txt", "--output=o\nut", "worker.py").code == 0

    (line,) = lines_of(cli, "jobs")

    assert line.endswith("/o\\nut")


def test_stores_that_do_not_answer_are_waited_for_once(tmp_path: Path) -> None:
    """They accept connections, as of a process that was stopped: no run of theirs takes long."""
    cli = CommandLine(tmp_path)
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    with socket.create_server(("127.0.0.1", 0), backlog=100) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        for number in range(20):  # 60 s of waiting, which end the command
            known = {"run": f"{number:036}", "name": "far", "output": f"s3://bucket/{number}"}
            text = json.dumps({**known, "started": 0.0, "endpoint": endpoint})
            path = tmp_path / f"home/state/pymr/runs/{number:036}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        listed = cli.run("jobs", "--json", environ=keys)

    states = [json.loads(line)["state"] for line in listed.stdout.splitlines()]
    assert states == ["unreachable"] * 20


def test_show_tells_how_a_run_went(cli: CommandLine) -> None:
    """Worker, tasks, result and counters."""
    lines = lines_of(cli, "show", "out")

    assert lines[0].startswith("run     counts   done   started ")
    assert "worker  worker.py: mapper, combiner, reducer" in lines
    assert "reduce  3 of 3 tasks" in lines
    assert "tries   0 failed, 0 retried, 0 lost" in lines
    assert "counter lines 16" in lines
    assert any(line.startswith("result  8 rows in 3 parts, ") for line in lines)


def test_show_as_json_is_the_history(cli: CommandLine) -> None:
    """All events in order, as they stand in the file."""
    lines = lines_of(cli, "show", "--json", "out")

    (history,) = (cli.folder / "out/_pymr").glob("*/events.jsonl")
    assert lines == history.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["kind"], events[-1]["kind"]) == ("RunPlanned", "RunFinished")


def test_a_run_that_failed_is_shown_and_its_errors_are(tmp_path: Path) -> None:
    """The failure is in the history; the record and the line of code are named again."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "1 1\nnope\n")
    failed = cli.start("--input=in.txt", "--name=bad", worker=WORKER)
    assert failed.code == 1

    shown = lines_of(cli, "show", "bad")
    told = lines_of(cli, "errors", "bad")
    events = [json.loads(line) for line in lines_of(cli, "errors", "--json", "bad")]

    assert shown[0].startswith("run     bad   failed")
    assert not any(line.startswith("result") for line in shown)
    assert "in.txt" in "\n".join(told)
    assert "key, number = line.split()" in "\n".join(told)
    assert told[0].endswith("map-0000 attempt 1  tried again")
    assert [event["kind"] for event in events] == ["AttemptFailed", "AttemptFailed", "RunFinished"]
    assert events[0]["error"]["fields"]["line"] == 2
    assert json.loads(lines_of(cli, "jobs", "--json")[0])["state"] == "failed"
    for command in (("head",), ("cat",), ("verify",), ("audit",), ("cp", "there")):
        name, *rest = command
        cli.run(name, "bad", *rest).refused(
            4, "run bad has no result in `out`: its state is failed", "hint: pymr resume bad"
        )
    shutil.rmtree(cli.folder / "out")
    cli.run("head", "bad").refused(4, "its state is gone", "hint: pymr start")


def test_errors_of_a_run_without_any(cli: CommandLine) -> None:
    """Said on stderr; no JSON line."""
    outcome = cli.run("errors", "out")

    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr == "counts: nothing failed\n"
    assert lines_of(cli, "errors", "--json", "out") == []


def test_errors_of_a_run_that_is_gone_are_not_known(own: CommandLine) -> None:
    """That is no run without any; `debug` does not say that it never began."""
    shutil.rmtree(own.folder / "out")

    for flags in ((), ("--json",)):
        own.run("errors", "counts", *flags).refused(4, "no history in `out`", "hint: pymr jobs")
    own.run("debug", "counts").refused(4, "or has been removed since")


def test_errors_of_a_run_that_was_done_in_the_end_do_not_say_that_it_failed(
    tmp_path: Path,
) -> None:
    """An attempt failed, the run did not."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "1 1\n")
    once = "def mapper(ctx, line):\n    import os; os.path.exists('tried') or (open('tried', 'w'), 1/0)\n"
    done = cli.start("--input=in.txt", worker=WORKER.replace("def mapper(ctx, line):\n", once))
    assert done.code == 0, done.stderr

    told = "\n".join(lines_of(cli, "errors", "out"))

    assert "✗ mapper raised ZeroDivisionError" in told
    assert " failed" not in told


def test_a_run_that_was_overwritten_is_replaced(own: CommandLine) -> None:
    """Its folder now holds another run's result."""
    (own.folder / "worker.py").write_text(WORKER)
    again = own.run(
        "start", "--input=in.txt", "--output=out", "--overwrite", "--name=newer", "worker.py"
    )
    assert again.code == 0, again.stderr

    rows = [json.loads(line) for line in lines_of(own, "jobs", "--json")]

    assert [(row["name"], row["state"] == "done") for row in rows] == [
        ("newer", True),
        ("counts", False),
    ]


# -- plan --------------------------------------------------------------------------------------


def tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in str(path)}


@pytest.mark.parametrize("flags", [[], ["--mappers=5", "--reducers=2", "--format=jsonl"]])
def test_plan_is_what_start_then_does(tmp_path: Path, flags: list[str]) -> None:
    """Tasks, parts, output and splits; and it writes nothing."""
    cli = CommandLine(tmp_path)
    for name in ("a", "b"):
        cli.write(f"in/{name}.txt", "1 1\n" * 30)
    cli.write("worker.py", WORKER)
    arguments = ["--input=in", "--output=out", "--name=planned", *flags, "worker.py"]
    before = tree(tmp_path)

    facts = json_of(cli, "plan", *arguments)
    lines = lines_of(cli, "plan", *arguments)
    after = tree(tmp_path)
    started = cli.run("start", "--json", *arguments)

    assert after == before
    assert started.code == 0, started.stderr
    events = [json.loads(line) for line in started.stdout.splitlines()]
    manifest = json.loads((cli.folder / "out/_pymr/MANIFEST.json").read_bytes())
    planned = events[0]
    assert (facts["name"], facts["output"]) == ("planned", "out")
    assert (facts["files"], facts["bytes"]) == (planned["input_files"], planned["input_bytes"])
    assert facts["map_tasks"] == planned["map_tasks"] == len(facts["tasks"])
    assert facts["reduce_tasks"] == planned["spec"]["reducers"]
    assert facts["parts"] == len(manifest["parts"])
    assert facts["output_format"] == manifest["settings"]["output_format"]
    assert facts["task_memory_bytes"] >= facts["memory_bytes"] // facts["workers"]
    assert facts["spill_bytes_max"] == planned["spec"]["limits"]["spill_bytes_max"]
    connected = next(event for event in events if event["kind"] == "WorkersConnected")
    assert facts["workers"] == connected["wanted"]
    splits = [split for task in facts["tasks"] for split in task["splits"]]
    assert sum(split["end"] - split["start"] for split in splits) == facts["bytes"]
    assert lines[0] == "job     planned   worker.py: mapper, combiner, reducer"
    assert f"tasks   {facts['map_tasks']} map, {facts['reduce_tasks']} reduce," in lines[2]


def test_plan_of_many_tasks_shows_the_first(tmp_path: Path) -> None:
    """Ten lines, and how many more there are; a map-only job has a part a task."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "1 1\n" * 300)
    cli.write("worker.py", "import pymr\njob = pymr.Job(mapper=print)\n")

    lines = lines_of(cli, "plan", "--input=in.txt", "--mappers=12", "worker.py")

    assert lines[0].endswith("worker.py: mapper")
    assert "one mapper call per 64 KiB of lines" in lines[1]
    assert lines[4].endswith(", 12 tsv parts")
    assert sum(line.startswith("  map-") for line in lines) == 10
    assert lines[-1] == "  … 2 more map tasks"


@pytest.mark.parametrize(
    ("on", "workers"), [("hosts", "3 workers of 2 slots"), ("kubernetes", "2 workers of 2 slots")]
)
def test_plan_of_a_run_elsewhere_is_not_of_this_machine(
    cli: CommandLine, on: str, workers: str
) -> None:
    """Workers, memory and output are as a run there has them; a store that is away is no matter."""
    flags = ["--workers=3", "--slots=2", "--mappers=3", "--memory=1G", "--name=far", f"--on={on}"]
    store = ["--store=s3://bucket", "--endpoint=http://127.0.0.1:9"]
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    outcome = cli.run("plan", "--input=in.txt", *flags, *store, "worker.py", environ=keys)

    assert outcome.code == 0, outcome.stderr
    assert f", by {workers}\n" in outcome.stdout
    assert "memory  1G for each worker; a map task spills at" in outcome.stdout
    assert "output  s3://bucket/outputs/far, " in outcome.stdout
    assert "whether `s3://bucket/outputs/far` has a result is not known: " in outcome.stderr


def test_plan_refuses_what_start_would(cli: CommandLine) -> None:
    """No input, no worker, a worker that does not compile."""
    cli.write("broken.py", "def\n")

    assert cli.run("plan", "worker.py").code == 2
    assert cli.run("plan", "--input=no.txt", "worker.py").code == 3
    assert cli.run("plan", "--input=in.txt", "broken.py").code == 2
    assert cli.run("plan", "--on=hosts", "--store=s3://B", "--input=in.txt", "worker.py").code == 2


def test_plan_warns_of_a_result_that_is_there(cli: CommandLine) -> None:
    """`start` would refuse; with --overwrite it would not."""
    arguments = ["plan", "--input=in.txt", "--output=out", "worker.py"]

    warned = cli.run(*arguments)

    assert warned.code == 0
    assert "warning: start would refuse: output `" in warned.stderr
    assert "out` exists: run counts of " in warned.stderr
    assert "replace it with --overwrite" in warned.stderr
    lines_of(cli, *arguments, "--overwrite")


def test_plan_removes_its_copy_of_standard_input(tmp_path: Path) -> None:
    """It is read once, into the folder for temporary files, and not left there."""
    cli = CommandLine(tmp_path)
    cli.write("worker.py", WORKER)

    outcome = cli.run("plan", "--input=-", "worker.py", stdin=b"1 1\n")

    assert outcome.code == 0, outcome.stderr
    assert "4 B" in outcome.stdout
    assert list(cli.temporary.iterdir()) == []


# -- init, completion, config, version ---------------------------------------------------------


@pytest.mark.parametrize("name", ["worker.py", "other.py"])
def test_what_init_writes_runs_as_it_is(tmp_path: Path, name: str) -> None:
    """From the command line, and as a script of its own."""
    cli = CommandLine(tmp_path)
    cli.write("in.txt", "b a\na\n")

    written = cli.run("init", *([] if name == "worker.py" else [name]))
    started = cli.run("start", "--input=in.txt", "--output=out", name)

    assert (written.code, written.stdout) == (0, "")
    assert f"next: pymr start --input FILE {name}" in written.stderr
    assert started.succeeded() == ["a\t2", "b\t1"]
    assert f"pymr start --input FILE {name}" in (cli.folder / name).read_text()


def test_init_replaces_nothing(tmp_path: Path) -> None:
    """Exit 4; the file is as it was. A folder that is not there is not made."""
    cli = CommandLine(tmp_path)
    cli.write("worker.py", "mine")

    cli.run("init").refused(4, "`worker.py` exists; nothing was written")
    cli.run("init", "no/such.py").refused(4, "cannot write `no/such.py`: No such file")

    assert (cli.folder / "worker.py").read_text() == "mine"
    assert not (cli.folder / "no").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli: CommandLine, shell: str, tmp_path: Path) -> None:
    """The shell itself accepts the script, where it is installed; bash completes with it."""
    script = tmp_path / "script"
    script.write_text("\n".join(lines_of(cli, "completion", shell)) + "\n")

    assert "_PYMR_COMPLETE" in script.read_text()
    if shutil.which(shell):
        flag = "--no-execute" if shell == "fish" else "-n"
        subprocess.run([shell, flag, script], check=True, timeout=60)


def test_bash_completes_commands(cli: CommandLine) -> None:
    """What the script asks `pymr` for, it answers."""
    asked = {"_PYMR_COMPLETE": "bash_complete", "COMP_WORDS": "pymr ver", "COMP_CWORD": "1"}

    answers = cli.run(environ=asked).stdout.split()

    assert sorted(answer.split(",")[1] for answer in answers) == ["verify", "version"]


def test_a_shell_that_is_not_known_is_a_usage_error(cli: CommandLine) -> None:
    """Exit 2, with those that are."""
    outcome = cli.run("completion", "tcsh")

    assert outcome.code == 2
    assert "`bash`, `zsh`, `fish`" in outcome.stderr


def test_config_shows_each_setting_and_its_source(tmp_path: Path) -> None:
    """As a table and as JSON, from the same place."""
    cli = CommandLine(tmp_path)
    cli.write("pymr.toml", "reducers = 7\n")
    environ = {"PYMR_WORKERS": "3"}

    table = cli.run("config", environ=environ)
    told = json.loads(cli.run("config", "--json", environ=environ).stdout)

    assert told["reducers"] == {"value": 7, "unit": None, "from": "./pymr.toml line 1"}
    assert (told["workers"]["value"], told["workers"]["from"]) == (3, "environment PYMR_WORKERS")
    assert told["memory"]["unit"] == "bytes"
    rows = {line.split()[0]: line.split()[1:] for line in table.stdout.splitlines()[1:]}
    assert rows["reducers"] == ["7", "./pymr.toml", "line", "1"]
    assert set(rows) == set(told)


def test_version(cli: CommandLine) -> None:
    """What a report of a bug should name."""
    told = json_of(cli, "version")

    assert set(told) == {"pymr", "python", "implementation", "system"}
    assert lines_of(cli, "version") == [f"{name} {value}" for name, value in told.items()]
    assert lines_of(cli, "--version") == lines_of(cli, "version")
