"""A run that was killed, or failed, goes on where it stopped; on the real command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from cli import CommandLine
from stopped_run import (
    LINES,
    MAP_ONLY,
    SETTINGS,
    WORKER,
    calls,
    manifest,
    objects,
    prepare,
    run_folder,
    start,
    stopped,
    undisturbed,
)

KILLED = -signal.SIGKILL


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


# -- killed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["line00", "line09", "line17", "line31"])
def test_f58_a_run_killed_in_its_map_phase_goes_on(
    cli: CommandLine, tmp_path: Path, at: str
) -> None:
    """Finished map tasks are not run again, the others are; the bytes are the same."""
    assert stopped(cli, at).code == KILLED
    assert cli.run("show", "out").stdout.split()[2] == "died"
    assert len(calls(cli, "map")) == LINES.index(next(x for x in LINES if x.startswith(at))) + 1
    done = int(at.removeprefix("line")) // 8

    outcome = cli.run("resume", "words")

    assert outcome.succeeded(f"{done} of 4 map tasks are finished and kept") == undisturbed(
        tmp_path
    )
    assert calls(cli, "map") == [f"map in.txt {14 * n}" for n in range(8 * done, 32)]
    assert cli.run("verify", "out").code == 0
    attempts = [task["attempt"] for task in manifest(cli)["tasks"]]
    assert attempts == [1] * done + [1001] * (6 - done)


@pytest.mark.parametrize("at", ["key-0", "key-even", "key-line31"])
def test_f59_f60_a_run_killed_in_its_reduce_phase_maps_nothing_again(
    cli: CommandLine, tmp_path: Path, at: str
) -> None:
    """Neither do the finished reduce tasks run again."""
    assert stopped(cli, at).code == KILLED
    before = calls(cli, "reduce")

    outcome = cli.run("resume", "out")

    assert outcome.succeeded("4 of 4 map tasks") == undisturbed(tmp_path)
    again = calls(cli, "reduce")
    assert before[-1] in again
    kept = [task for task in manifest(cli)["tasks"] if task["attempt"] == 1]
    assert len(kept) == 4 + (before[0] not in again)


def test_a_map_only_run_goes_on(cli: CommandLine, tmp_path: Path) -> None:
    """Its finished parts are read to their end, and kept."""
    assert stopped(cli, "line17", worker=MAP_ONLY).code == KILLED
    calls(cli, "map")

    outcome = cli.run("resume", "words")

    assert outcome.succeeded() == undisturbed(tmp_path, MAP_ONLY)
    assert len(calls(cli, "map")) == 16
    assert objects(cli) == ["events.jsonl", "journal"] + [
        f"map-0000{n}-{1 if n < 2 else 1001}" for n in range(4)
    ]


def test_the_boundaries_of_sorted_parts_are_those_of_the_start(cli: CommandLine) -> None:
    """They were sampled before the first task, and stand in the plan: nothing is sampled again."""
    prepare(cli)
    expected = start(cli, "--sort", "--output=expected").rows("expected")
    calls(cli, "map")
    cli.write("at-key-even", "kill-runner")
    assert start(cli, "--sort").code == KILLED
    calls(cli, "map")

    outcome = cli.run("resume", "out")

    assert outcome.succeeded() == expected
    assert calls(cli, "map") == []


def test_f127_a_run_that_is_killed_again_and_again_comes_to_its_end(
    cli: CommandLine, tmp_path: Path
) -> None:
    """Each life finishes something, and nothing twice."""
    places = ["line01", "line09", "line17", "line25", "key-0"]
    stopped(cli, places[0])
    for place in places[1:]:
        cli.write(f"at-{place}", "kill-runner")
        assert cli.run("resume", "words").code == KILLED

    outcome = cli.run("resume", "words")

    assert outcome.succeeded() == undisturbed(tmp_path)
    assert [task["attempt"] for task in manifest(cli)["tasks"]][:4] == [1001, 2001, 3001, 4001]
    history = [json.loads(line) for line in cli.run("show", "out", "--json").stdout.splitlines()]
    assert [entry["seq"] for entry in history] == list(range(1, len(history) + 1))
    epochs = [entry["epoch"] for entry in history if entry["kind"] == "RunResumed"]
    assert epochs == list(range(2, 7))


def test_f23_every_prefix_of_the_journal_leads_to_the_same_bytes(
    cli: CommandLine, tmp_path: Path
) -> None:
    """A power cut loses what was not synced: some records, or a part of one."""
    expected = undisturbed(tmp_path)
    stopped(cli, "key-odds")
    journal = run_folder(cli) / "journal"
    whole = journal.read_bytes()
    saved = cli.shell("cp -a out saved")
    assert saved.code == 0, saved.stderr
    ends = [n + 1 for n, byte in enumerate(whole) if byte == 0x0A]
    assert len(ends) >= 2 + 4

    for end in [*ends[1:], *(end - 5 for end in ends[2:])]:
        cli.shell("rm -r out; cp -a saved out")
        journal.write_bytes(whole[:end])
        assert cli.run("resume", "words").succeeded() == expected


def test_f57_a_run_killed_before_its_plan_was_written_is_to_be_started_anew(
    cli: CommandLine,
) -> None:
    """Nothing had been done; the output is free."""
    stopped(cli, "line00")
    journal = run_folder(cli) / "journal"
    journal.write_bytes(journal.read_bytes().partition(b"\n")[0] + b"\n")

    cli.run("resume", "words").refused(4, "it ended before it began", "hint: pymr start")

    assert start(cli).code == 0


# -- failed ------------------------------------------------------------------------------------


def test_f70_after_a_fix_the_finished_tasks_are_kept(cli: CommandLine, tmp_path: Path) -> None:
    """What was kept is told, and each task's code stands in the manifest."""
    outcome = stopped(cli, "line17", "raise")
    said = outcome.refused(1, "2 of 4 map tasks are finished and kept")
    assert "hint: fix worker.py:15, then   pymr resume words" in said
    assert objects(cli) == ["events.jsonl", "journal", "map-00000-1", "map-00001-1"]
    cli.run("resume", "words").refused(1, "2 of 4 map tasks are finished and kept")
    calls(cli, "map")
    cli.write("worker.py", WORKER.replace("raise ValueError", "return #"))

    outcome = cli.run("resume", "words")

    assert outcome.succeeded(
        "worker.py has changed; kept from before: 2 finished tasks"
    ) == undisturbed(tmp_path)
    assert len(calls(cli, "map")) == 16
    tasks = {task["task"]: task["code_digest"] for task in manifest(cli)["tasks"]}
    old = tasks["map-0000"]
    assert old
    assert old != manifest(cli)["worker"]["digest"]
    assert [tasks[f"map-000{n}"] for n in range(4)] == [old, old, None, None]
    assert tasks["reduce-0000"] is None


def test_restart_does_all_tasks_again(cli: CommandLine, tmp_path: Path) -> None:
    """With the code and the arguments as they are, from any folder; another id, the same name."""
    stopped(cli, "line17")
    calls(cli, "map")
    before = run_folder(cli).name

    outcome = cli.shell(f"mkdir else && cd else && '{cli.pymr}' resume words --restart")

    assert outcome.code == 0, outcome.stderr
    assert outcome.rows() == undisturbed(tmp_path)
    assert len(calls(cli, "map")) == 32
    assert run_folder(cli).name != before
    assert manifest(cli)["name"] == "words"


def test_a_run_that_is_done_is_not_restarted(cli: CommandLine) -> None:
    """`resume` has no --overwrite and no --output, so it names neither."""
    stopped(cli, "line17")
    assert cli.run("resume", "words").code == 0

    said = cli.run("resume", "words", "--restart")

    assert said.code == 4
    assert "run words is done: its result is in `out`" in said.stderr
    assert "hint: pymr start --overwrite   with its arguments does it anew" in said.stderr
    assert cli.run("verify", "words").code == 0


def test_a_worker_file_that_is_gone_is_to_be_put_back(cli: CommandLine) -> None:
    """`pymr init` would write another job."""
    stopped(cli, "line17")
    (cli.folder / "worker.py").unlink()

    said = cli.run("resume", "words").refused(2, "the worker file `worker.py` of run words is gone")

    assert "hint: put it back, then   pymr resume words" in said


def test_code_that_does_another_job_is_refused(cli: CommandLine) -> None:
    """What is kept was made for a reducer; without one it means nothing."""
    stopped(cli, "line17")
    cli.write("worker.py", MAP_ONLY)

    cli.run("resume", "words").refused(
        2, "its reducer is `None`, expected `function`", "pymr resume words --restart"
    )


def test_a_worker_file_that_cannot_be_imported_leaves_all_as_it_is(
    cli: CommandLine, tmp_path: Path
) -> None:
    """The next resume goes on from the same place."""
    stopped(cli, "line17")
    cli.write("worker.py", "import pymr\nthis is no Python\n")
    cli.run("resume", "words").refused(2, "worker.py:2")

    cli.write("worker.py", WORKER)
    outcome = cli.run("resume", "words")

    assert outcome.succeeded("2 of 4 map tasks") == undisturbed(tmp_path)


def test_f100_start_does_not_drop_finished_work_unasked(cli: CommandLine) -> None:
    """It says what is there and how to go on; --overwrite begins anew."""
    stopped(cli, "line17")

    start(cli).refused(
        4,
        "output `out` holds the unfinished run words: 2 of 4 map tasks are finished and kept",
        "pymr resume words, or --overwrite",
    )

    calls(cli, "map")
    assert start(cli, "--overwrite").code == 0
    assert len(calls(cli, "map")) == 32
    cli.run("resume", "words").succeeded("words is done")


# -- what may be different ---------------------------------------------------------------------


def test_a_run_goes_on_from_any_folder_by_name_id_and_output(
    cli: CommandLine, tmp_path: Path
) -> None:
    """Relative inputs are looked up where it was started, and have the same names."""
    expected = undisturbed(tmp_path)
    cli.shell("mkdir else")
    for name in ("words", str(cli.folder / "out"), None):
        cli.shell("rm -rf out calls")
        stopped(cli, "line17")

        named = name or run_folder(cli).name
        outcome = cli.shell(f"cd else && '{cli.pymr}' resume {named}")

        assert outcome.code == 0, outcome.stderr
        assert outcome.rows() == expected
        assert {line.split()[1] for line in calls(cli, "map")} == {"in.txt"}
        assert not (cli.folder / "else/out").exists()


def test_a_folder_that_is_gone_is_told(cli: CommandLine) -> None:
    """Relative names mean nothing without it."""
    cli.shell("mkdir sub; cp -a . /dev/null")
    prepare(cli)
    cli.write("sub/at-line17", "kill-runner")
    settings = " ".join(SETTINGS)
    arguments = f"--input=../in.txt --output=../out --workers=1 {settings} ../worker.py"
    cli.shell(f"cd sub && '{cli.pymr}' start {arguments}")
    cli.shell("rm -r sub")

    cli.run("resume", "words").refused(2, "where the run was started, is gone", "hint: mkdir -p")


def test_settings_that_decide_the_result_are_frozen(cli: CommandLine) -> None:
    """Each flag that is refused says so by itself."""
    stopped(cli, "line17")

    for flag in (
        "--reducers=3",
        "--format=jsonl",
        "--encoding=latin-1",
        "--spill=2M",
        "--mappers=9",
    ):
        name = flag.partition("=")[0]
        said = cli.run("resume", "words", flag).refused(2, f"{name} cannot change")
        assert f"pymr start {name}" in said


def test_settings_of_how_it_is_done_may_change(cli: CommandLine, tmp_path: Path) -> None:
    """Workers, memory, time, tries; where spills go."""
    stopped(cli, "line17")

    outcome = cli.run(
        "resume",
        "words",
        "--workers=2",
        "--memory=4G",
        "--timeout=1m",
        "--attempts=2",
        "--tmp-dir=spills",
        "--keep",
    )

    assert outcome.succeeded() == undisturbed(tmp_path)
    assert "map-00000-1" in objects(cli), "--keep"
    assert list((cli.folder / "spills").rglob("*")) == []
    [resumed] = [
        json.loads(line)
        for line in cli.run("show", "out", "--json").stdout.splitlines()
        if '"WorkersConnected"' in line
    ][1:]
    assert resumed["wanted"] == 2


def test_f45_inputs_that_changed_are_named(cli: CommandLine) -> None:
    """Exit 3, each with what is seen; --restart reads them as they are now."""
    prepare(cli)
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        cli.write(name, f"{name} more\n")
    cli.write("at-line17", "kill-runner")
    start(cli, *(f"--input={name}.txt" for name in "abcd"))
    cli.write("a.txt", "a.txt moan\n")
    cli.write("b.txt", "b\n")
    (cli.folder / "c.txt").unlink()
    with (cli.folder / "d.txt").open("a") as grown:
        grown.write("a log grows\n")

    said = cli.run("resume", "words").refused(
        3,
        "3 inputs changed since the run was planned: `a.txt`: it was written to",
        "`b.txt`: it has 2 bytes, expected 11",
        "`c.txt`: No such file or directory",
        "pymr resume words --restart",
    )

    assert "d.txt" not in said, "it has only grown"
    cli.write("c.txt", "c\n")
    assert cli.run("resume", "words", "--restart").code == 0
    assert "a log grows" not in cli.run("cat", "out").stdout
    assert "grows\t1" in cli.run("cat", "out").stdout


def test_standard_input_is_kept_for_a_run_that_can_go_on(cli: CommandLine, tmp_path: Path) -> None:
    """The copy goes with the run's end."""
    prepare(cli)
    cli.write("at-line17", "kill-runner")
    settings = ("--input=-", "--output=out", "--workers=1", *SETTINGS)
    text = "".join(LINES).encode()
    assert cli.run("start", *settings, "worker.py", stdin=text).code == KILLED
    [copy] = cli.temporary.iterdir()

    outcome = cli.run("resume", "words")

    assert outcome.succeeded() == undisturbed(tmp_path)
    assert not copy.exists()


def test_a_copy_of_standard_input_that_is_gone_is_told(cli: CommandLine) -> None:
    """Somebody has tidied the temporary folder."""
    prepare(cli)
    cli.write("at-line17", "kill-runner")
    settings = ("--input=-", "--output=out", "--workers=1", *SETTINGS)
    cli.run("start", *settings, "worker.py", stdin="".join(LINES).encode())
    cli.shell(f"rm -r {cli.temporary}/*")

    cli.run("resume", "words").refused(3, "`-`: No such file or directory")


def test_a_run_that_is_begun_anew_drops_the_copy_of_standard_input(cli: CommandLine) -> None:
    """With all that was kept of the run before."""
    prepare(cli)
    cli.write("at-line17", "kill-runner")
    settings = ("--input=-", "--output=out", "--workers=1", *SETTINGS)
    cli.run("start", *settings, "worker.py", stdin="".join(LINES).encode())
    assert list(cli.temporary.iterdir())

    assert start(cli, "--overwrite").code == 0

    assert list(cli.temporary.iterdir()) == []


def test_a_restart_reads_the_copy_of_standard_input_again(cli: CommandLine, tmp_path: Path) -> None:
    """It could be read once only; the copy is as good."""
    prepare(cli)
    cli.write("at-line17", "kill-runner")
    settings = ("--input=-", "--output=out", "--workers=1", *SETTINGS)
    cli.run("start", *settings, "worker.py", stdin="".join(LINES).encode())

    outcome = cli.run("resume", "words", "--restart")

    assert outcome.succeeded() == undisturbed(tmp_path)
    assert list(cli.temporary.iterdir()) == []


# -- what is left of it --------------------------------------------------------------------------


def test_f63_a_run_that_is_done_has_nothing_to_resume(cli: CommandLine) -> None:
    """Exit 0, and where its result is."""
    prepare(cli)
    start(cli).succeeded()
    calls(cli, "map")

    outcome = cli.run("resume", "words")

    outcome.succeeded("words is done", str(cli.folder / "out"))
    assert calls(cli, "map") == []


@pytest.mark.parametrize(
    "arguments", [["--detach"], ["--detach", "--restart"], ["--slots=2"], ["--metrics=127.0.0.1:0"]]
)
def test_what_is_for_runs_on_other_machines_is_refused(
    cli: CommandLine, arguments: list[str]
) -> None:
    """The run stays as it is, and can be resumed."""
    stopped(cli, "line17")
    flag = arguments[0].partition("=")[0]

    cli.run("resume", "words", *arguments).refused(2, f"{flag} is for runs on workers that join")

    cli.run("resume", "words").succeeded("2 of 4 map tasks")


def test_nothing_is_left_of_a_run_whose_output_was_removed(cli: CommandLine) -> None:
    """And no folder is made in its place."""
    stopped(cli, "line17")
    cli.shell("rm -r out")

    cli.run("resume", "words").refused(4, "words")

    assert not (cli.folder / "out").exists()


def test_f69_f106_a_journal_of_another_version_is_refused(cli: CommandLine) -> None:
    """Exit 10, with both versions; nothing is touched."""
    stopped(cli, "line17")
    journal = run_folder(cli) / "journal"
    rewrite_journal(journal, b'"journal":1', b'"journal":2')
    before = committed(cli)

    cli.run("resume", "words").refused(10, "has format 2, expected 1", "hint: resume with")

    assert committed(cli) == before == ["map-00000-1", "map-00001-1"]


def test_f66_a_damaged_journal_stops_the_resume(cli: CommandLine) -> None:
    """Exit 7, with the place; all is kept."""
    stopped(cli, "line17")
    journal = run_folder(cli) / "journal"
    damaged = bytearray(journal.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    journal.write_bytes(damaged)
    before = committed(cli)

    cli.run("resume", "words").refused(7, "is corrupt at byte", "hint: pymr start --overwrite")

    assert committed(cli) == before == ["map-00000-1", "map-00001-1"]


def committed(cli: CommandLine) -> list[str]:
    return [name for name in objects(cli) if name.startswith(("map", "reduce"))]


def rewrite_journal(path: Path, old: bytes, new: bytes) -> None:
    """Change records of a journal, each chained anew."""
    from pymr.store.journal import Journal, read_journal

    records = [record.replace(old, new) for record in read_journal(str(path))]
    path.unlink()
    journal = Journal.create(str(path))
    for record in records:
        journal.append(record)
    journal.close()
