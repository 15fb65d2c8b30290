"""`pymr doctor`: on a good machine, and where something is in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import PYMR, CommandLine, Outcome


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def findings(outcome: Outcome) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the findings of `--json` by area and name."""
    facts = json.loads(outcome.stdout)
    assert facts["exit_code"] == outcome.code
    assert facts["ok"] == (outcome.code == 0)
    return {(each["area"], each["name"]): each for each in facts["findings"]}


def broken(outcome: Outcome) -> list[tuple[str, str]]:
    """Return area and name of what is broken; each must have a remedy or name the setting."""
    found = findings(outcome)
    return [place for place, each in found.items() if each["level"] == "broken"]


def test_a_machine_that_runs_the_tests_is_fit_for_a_run(cli: CommandLine) -> None:
    """Exit 0, each area with its lines, a verdict; nothing is left behind."""
    outcome = cli.run("doctor")

    assert (outcome.code, outcome.stderr) == (0, ""), outcome.stdout + outcome.stderr
    lines = outcome.stdout.splitlines()
    areas = [line for line in lines if line and not line.startswith((" ", "✓"))]
    assert areas == [
        "installation",
        "settings",
        "machine",
        "output",
        "temporary",
        "list of runs",
    ]
    assert lines[-1].startswith("✓ a run can start here")
    assert list(cli.folder.iterdir()) == []
    assert list(cli.temporary.iterdir()) == []


def test_a_store_that_is_not_there_is_to_be_started_or_named(cli: CommandLine) -> None:
    """To wait longer is for runs."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "PYMR_STORAGE_WAIT": "1s"}
    nowhere = ("--store=s3://bucket", "--endpoint=http://127.0.0.1:9")

    outcome = cli.run("doctor", "--json", *nowhere, environ=keys)

    assert outcome.code == 5
    access = findings(outcome)["store", "access"]
    assert "does not answer" in access["text"]
    assert (
        access["remedy"] == "start the store, or say where it is: --endpoint URL, AWS_ENDPOINT_URL"
    )


def test_json_has_every_finding_with_its_level(cli: CommandLine) -> None:
    """One object; the same findings as for people."""
    found = findings(cli.run("doctor", "--json"))

    assert {each["level"] for each in found.values()} <= {"ok", "warning", "broken"}
    assert found["installation", "compiled part"]["level"] == "ok"
    assert found["output", "operations"]["text"].startswith("write, fsync, link, rename, lock")
    assert found["temporary", "folder"]["text"] == str(cli.temporary)
    assert {"cores", "memory", "processes", "open files"} <= {name for _, name in found}


def test_an_output_that_refuses_is_exit_5(cli: CommandLine) -> None:
    """Read-only for this user; the error names it, the hint where to go."""
    (cli.folder / "fixed").mkdir(mode=0o555)

    outcome = cli.run("doctor", "--output=fixed/out", "--json", without_override=True)

    assert broken(outcome) == [("output", "write")]
    outcome.refused(5, "fixed", "Permission denied", "hint: choose another --output")


def test_an_output_that_is_a_file_is_exit_5(cli: CommandLine) -> None:
    """It is told as such."""
    cli.write("out", "")

    outcome = cli.run("doctor", "--output=out/deeper")

    outcome.refused(5, "out` is no folder")


def test_a_folder_for_spills_that_refuses_is_exit_6(cli: CommandLine) -> None:
    """By flag and by variable."""
    (cli.folder / "fixed").mkdir(mode=0o555)

    by_flag = cli.run("doctor", "--tmp-dir=fixed", "--json", without_override=True)
    by_variable = cli.run("doctor", environ={"PYMR_TMP_DIR": "fixed"}, without_override=True)

    assert broken(by_flag) == [("temporary", "write")]
    by_variable.refused(6, "Permission denied")


def test_too_few_open_files_are_exit_6(cli: CommandLine) -> None:
    """With the command that raises them, up to the hard limit."""
    outcome = cli.shell(f"ulimit -S -n 11; exec '{PYMR}' doctor --json")

    assert broken(outcome) == [("machine", "open files")]
    outcome.refused(6, "at most 11 for each process", "hint: ulimit -n ")


def test_wrong_settings_are_exit_2_and_the_rest_is_examined(cli: CommandLine) -> None:
    """The worst of several; the variable is named."""
    cli.write("out", "")

    outcome = cli.run("doctor", "--output=out", "--json", environ={"PYMR_WORKERS": "many"})

    assert broken(outcome) == [("settings", "values"), ("output", "folder")]
    outcome.refused(2, "PYMR_WORKERS is `many`")


def test_an_unknown_variable_is_a_warning(cli: CommandLine) -> None:
    """A run can start; the count of warnings stands in the verdict."""
    outcome = cli.run("doctor", environ={"PYMR_WORKRES": "2"})

    assert outcome.code == 0
    assert "! values" in outcome.stdout
    assert "PYMR_WORKRES" in outcome.stdout
    assert "warning" in outcome.stdout.splitlines()[-1]


def test_a_home_that_refuses_costs_names_only(cli: CommandLine) -> None:
    """Runs are then found by their output."""
    (cli.home / "state").mkdir(mode=0o555)

    outcome = cli.run("doctor", "--json", without_override=True)

    assert outcome.code == 0
    assert findings(outcome)["list of runs", "folder"]["level"] == "warning"
