"""`pymr cancel`, `gc` and `attach`: runs that are ended, tidied and followed from elsewhere."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli import PYMR, CommandLine
from stopped_run import (
    MAP_ONLY,
    SETTINGS,
    calls,
    objects,
    prepare,
    processes_of,
    run_folder,
    start,
    stopped,
    undisturbed,
)

# Waits until the gate is opened; says so on the stderr of the command.
WAIT = """\
import os
import re
os.mkfifo("gate")
open(f"/proc/{os.getppid()}/fd/2", "w").write("it waits\\n")
open("gate").close()
"""
START = ("start", "--input=in.txt", "--output=out", "--workers=1", *SETTINGS, "worker.py")


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


class Started:
    """A run that goes on as far as a record, and waits there."""

    def __init__(self, cli: CommandLine, popen: subprocess.Popen[str]) -> None:
        self.cli, self.popen = cli, popen

    def let_go(self) -> None:
        """Let the record that waits be mapped."""
        (self.cli.folder / "gate").open("w").close()


@pytest.fixture
def waiting(cli: CommandLine) -> Iterator[Started]:
    """A run with two finished map tasks; what a test leaves of it is killed."""
    with ExitStack() as running:
        prepare(cli)
        cli.write("at-line17", "do")
        cli.write("then.py", WAIT)
        popen = running.enter_context(
            subprocess.Popen(
                ["env", "--default-signal", PYMR, *START],
                cwd=cli.folder,
                env=cli.environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        running.callback(popen.kill)
        assert popen.stderr is not None
        assert any(line == "it waits\n" for line in popen.stderr)
        yield Started(cli, popen)


# -- cancel ----------------------------------------------------------------------------------


def test_a_run_that_is_at_work_is_stopped_and_gives_up_what_it_has(waiting: Started) -> None:
    """From anywhere, by its name; its own command says why it ended."""
    outcome = waiting.cli.run("cancel", "words")

    assert outcome.code == 0, outcome.stderr
    assert outcome.stderr == "✓ words is stopped; nothing of it is kept\n"
    _, said = waiting.popen.communicate(timeout=30)
    assert waiting.popen.returncode == 143
    assert said.endswith("✗ words: cancelled by `pymr cancel`\n")
    assert processes_of(waiting.cli) == []
    assert objects(waiting.cli) == ["cancelled", "events.jsonl", "journal"]
    assert waiting.cli.run("jobs").stdout.split()[1] == "cancelled"


def test_a_run_that_stopped_before_gives_up_what_it_keeps(cli: CommandLine) -> None:
    """Then it cannot be resumed, but done again; asking twice is no error."""
    stopped(cli, "line17")
    calls(cli, "map")

    first = json.loads(cli.run("cancel", "out", "--json").stdout)
    second = cli.run("cancel", "words")

    assert (first["name"], first["was_running"]) == ("words", False)
    assert second.stderr == "✓ words is cancelled; nothing of it is kept\n"
    assert objects(cli) == ["cancelled", "events.jsonl", "journal"]
    cli.run("resume", "words").refused(4, "run words was cancelled", "--restart")
    attached = cli.run("attach", "words").stderr
    assert attached.endswith("\n  hint: pymr resume words --restart   does all tasks again\n")
    assert "kept" not in attached
    assert cli.run("resume", "words", "--restart").code == 0
    assert len(calls(cli, "map")) == 32


def test_an_output_of_a_cancelled_run_is_free(cli: CommandLine, tmp_path: Path) -> None:
    """The next start says nothing of it."""
    stopped(cli, "line17")
    cli.run("cancel", "words")

    assert start(cli).succeeded() == undisturbed(tmp_path)


def test_a_run_that_is_done_cannot_be_cancelled(cli: CommandLine) -> None:
    """Its result stays, and it stands as done."""
    prepare(cli)
    start(cli).succeeded()

    outcome = cli.run("cancel", "words")

    assert outcome.code == 4
    assert "run words is done, there is nothing to cancel" in outcome.stderr
    assert cli.run("jobs").stdout.split()[1] == "done"
    assert cli.run("verify", "out").code == 0


def test_a_run_that_is_nowhere_cannot_be_cancelled(cli: CommandLine) -> None:
    """By a name that nobody has, or one whose output is gone."""
    cli.run("cancel", "words").refused(4, "no run `words`")
    stopped(cli, "line17")
    cli.shell("rm -r out")

    cli.run("cancel", "words").refused(4, "nothing is left of run words")

    assert not (cli.folder / "out").exists()


def test_a_copy_of_standard_input_goes_with_its_run(cli: CommandLine) -> None:
    """And so do spills in another folder."""
    prepare(cli)
    cli.write("at-line17", "kill-runner")
    arguments = ("--input=-", "--output=out", "--workers=1", "--tmp-dir=spills", *SETTINGS)
    cli.run("start", *arguments, "worker.py", stdin=(cli.folder / "in.txt").read_bytes())
    assert list((cli.folder / "spills").rglob("standard-input"))

    cli.run("cancel", "words")

    assert list((cli.folder / "spills").iterdir()) == []
    cli.run("resume", "words", "--restart").refused(3, "the copy of it is gone")


# -- attach ----------------------------------------------------------------------------------


def attached(cli: CommandLine, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["env", "--default-signal", PYMR, "attach", "words", *arguments],
        cwd=cli.folder,
        env=cli.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_is_followed_to_its_end(waiting: Started) -> None:
    """What has happened, what happens, and the summary; the exit code is the run's."""
    with attached(waiting.cli) as view:
        assert view.stderr is not None
        assert view.stderr.readline() == "All workers connected\n"
        waiting.let_go()
        _, said = view.communicate(timeout=30)

    assert view.returncode == 0
    assert said.startswith("All map tasks completed!\nMap reduce completed\n✓ words done in ")
    waiting.popen.communicate(timeout=30)
    assert waiting.popen.returncode == 0


def test_whoever_follows_may_leave(waiting: Started) -> None:
    """Ctrl-C is for the one who follows, not for the run."""
    with attached(waiting.cli) as view:
        assert view.stderr is not None
        view.stderr.readline()
        view.send_signal(signal.SIGINT)
        _, said = view.communicate(timeout=30)

    assert view.returncode == 130
    assert said == "\nwords goes on; to see it again:   pymr attach words\n"
    waiting.let_go()
    waiting.popen.communicate(timeout=30)
    assert waiting.popen.returncode == 0


def test_a_run_that_dies_is_not_waited_for(waiting: Started) -> None:
    """Exit 10, and how to go on."""
    with attached(waiting.cli) as view:
        assert view.stderr is not None
        view.stderr.readline()
        waiting.popen.kill()
        _, said = view.communicate(timeout=30)

    assert view.returncode == 10
    assert "it ended without a word" in said
    assert "2 of 4 map tasks are finished and kept" in said
    assert "hint: pymr resume words" in said


@pytest.mark.parametrize(("what", "code"), [("raise", 1), ("kill-runner", 10)])
def test_a_run_that_has_ended_is_told_at_once(cli: CommandLine, what: str, code: int) -> None:
    """With its own exit code; later, when it is done, with that."""
    stopped(cli, "line17", what)

    ended = cli.run("attach", "words", "--json")

    ended.refused(code, "words", "2 of 4 map tasks are finished and kept")
    assert ended.stdout == cli.run("show", "words", "--json").stdout
    (cli.folder / "at-line17").unlink(missing_ok=True)
    cli.run("resume", "words").succeeded()
    again = cli.run("attach", "words")
    assert again.succeeded(" s since its last resume)   ", "kept from before: 2 map tasks")
    shown = cli.run("show", "words").stdout
    assert re.search(r"^took .* s since its last resume\)$", shown, re.MULTILINE)
    assert cli.run("attach", "words", "--quiet").stderr == ""


def test_a_run_without_a_history_cannot_be_followed(cli: CommandLine) -> None:
    """It was removed, or could never be written."""
    stopped(cli, "line17")
    (run_folder(cli) / "events.jsonl").unlink()

    cli.run("attach", "words").refused(4, "has no history")


# -- gc --------------------------------------------------------------------------------------


def test_what_a_killed_run_left_is_found_and_removed_when_it_is_asked_for(
    cli: CommandLine, tmp_path: Path
) -> None:
    """Attempts that do not count, halves, spills; what a resume needs stays."""
    stopped(cli, "line17")
    folder = run_folder(cli)
    before = objects(cli)
    for name in ("map-00002-1-abc", ".tmp-abc", "tmp/map-0002-1-abc/x.spill", "../.tmp-def"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345")

    listed = cli.run("gc")
    assert listed.code == 0
    assert listed.stderr == "would remove 5 files, 20 B;   next: pymr gc --yes\n"
    for what in ("half of an object", "attempt that does not count", "spills"):
        assert what in listed.stdout
    assert (folder / "map-00002-1-abc").exists()
    named = cli.run("gc", "words", "--drop-replay").stderr
    assert named.endswith("next: pymr gc words --drop-replay --yes\n"), "of this run only"

    removed = cli.run("gc", "--yes", "--json")

    rows = [json.loads(line) for line in removed.stdout.splitlines()]
    assert sum(row["bytes"] for row in rows) == 20
    assert all(row["removed"] for row in rows)
    assert objects(cli) == [name for name in before if not name.startswith(".tmp")]
    assert not (folder / "tmp").exists()
    assert cli.run("gc").stderr == "nothing to remove\n"
    assert cli.run("resume", "words").succeeded("2 of 4 map tasks") == undisturbed(tmp_path)


def test_nothing_that_a_manifest_names_is_removed(cli: CommandLine) -> None:
    """Of a run that is done, map outputs that were kept are nobody's need."""
    prepare(cli)
    start(cli, "--keep").succeeded()
    assert "map-00000-1" in objects(cli)

    outcome = cli.run("gc", "out", "--yes")

    assert "removed 4 files" in outcome.stderr
    assert objects(cli) == ["events.jsonl", "journal", "reduce-00000-1", "reduce-00001-1"]
    assert cli.run("verify", "out").code == 0


def secrets(cli: CommandLine, run: str) -> list[Path]:
    """Write what an account keeps of a run on hosts, with a log, which is no secret."""
    masters = cli.home / "state" / "pymr" / "masters"
    masters.mkdir(exist_ok=True)
    paths = [masters / f"{run}.{end}" for end in ("json", "operator.json", "spec.json")]
    for path in (*paths, masters / f"{run}.log"):
        path.write_text("12345")
    return paths


def test_secrets_of_a_run_that_another_machine_has_ended_go(cli: CommandLine) -> None:
    """Its own master would have removed them; the log stays."""
    prepare(cli)
    start(cli).succeeded()
    paths = secrets(cli, run_folder(cli).name)

    listed = cli.run("gc")
    assert "secrets of a run that ended" in listed.stdout
    assert listed.stderr == "would remove 3 files, 15 B;   next: pymr gc --yes\n"
    assert all(path.exists() for path in paths)

    assert cli.run("gc", "--yes").stderr == "removed 3 files, 15 B\n"
    assert not any(path.exists() for path in paths)
    assert len(list(paths[0].parent.iterdir())) == 1
    assert cli.run("gc", "words").stderr == "nothing to remove\n"


def test_secrets_of_a_run_that_can_be_resumed_stay(cli: CommandLine) -> None:
    """Workers that wait for its next master know no others."""
    stopped(cli, "line17")
    paths = secrets(cli, run_folder(cli).name)

    cli.run("gc", "--yes")

    assert all(path.exists() for path in paths)


def test_a_map_only_result_is_left_alone(cli: CommandLine) -> None:
    """There map attempts are what the manifest names."""
    prepare(cli, MAP_ONLY)
    start(cli).succeeded()

    assert cli.run("gc", "--yes").stderr == "nothing to remove\n"
    assert cli.run("verify", "out").code == 0


def test_records_of_a_cancelled_run_go(cli: CommandLine) -> None:
    """Its output is then as good as new."""
    stopped(cli, "line17")
    cli.run("cancel", "words")

    cli.run("gc", "--yes")

    assert objects(cli) == []
    assert cli.run("jobs").stdout.split()[1] == "gone"


def test_a_run_at_work_is_left_alone(waiting: Started) -> None:
    """Whether it is named or met; who it is, is said."""
    met = waiting.cli.run("gc", "--yes")
    named = waiting.cli.run("gc", "words", "--yes")

    assert met.code == 0
    assert "left alone: output" in met.stderr
    assert "is claimed by run" in met.stderr
    assert "--output" not in named.refused(4, "is claimed by run", "hint: pymr attach ")
    assert "map-00000-1" in objects(waiting.cli)


@pytest.mark.parametrize("broken", ["journal", "MANIFEST.json"])
def test_where_nobody_can_say_what_is_needed_nothing_is_removed(
    cli: CommandLine, broken: str
) -> None:
    """A journal or a manifest that cannot be read may name anything."""
    if broken == "journal":
        stopped(cli, "line17")
        path = run_folder(cli) / "journal"
    else:
        prepare(cli)
        start(cli, "--keep").succeeded()
        path = cli.folder / "out/_pymr/MANIFEST.json"
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(body)
    (run_folder(cli) / "map-00002-1-abc").write_text("12345")
    before = objects(cli)

    cli.run("gc", "--yes")

    assert objects(cli) == before
