"""One task that is slow for no fault of its own: a backup attempt does it, and the run ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli import CommandLine
from stopped_run import WORKER, objects, prepare, processes_of, start, undisturbed

# The first who comes to the place stays there until it is ended.
STUCK = "import signal; signal.alarm(60); signal.pause()"


@pytest.mark.parametrize(
    ("at", "slow", "settings"),
    [
        pytest.param("line09", "map-0002", ["--mappers=8"], id="map"),
        pytest.param("line31", "map-0001", ["--mappers=2"], id="the last of two"),
        pytest.param("key-even", "reduce-", ["--reducers=4"], id="reduce"),
    ],
)
def test_f17_a_backup_attempt_does_what_is_stuck(
    tmp_path: Path, at: str, slow: str, settings: list[str]
) -> None:
    """With two workers and the limits as they are; without it the run would never end."""
    cli = CommandLine(tmp_path)
    prepare(cli)
    cli.write("then.py", STUCK)
    cli.write(f"at-{at}", "do")

    outcome = start(cli, "--workers=2", "--timeout=50", *settings)

    assert not (cli.folder / f"at-{at}").exists(), "nobody was stuck"
    assert sorted(outcome.succeeded(f"  backup of {slow}")) == sorted(undisturbed(tmp_path, WORKER))
    assert re.search(r" won in [\d.]+ s; the other attempt was at \d+ % after ", outcome.stderr)
    assert processes_of(cli) == []
    history = [json.loads(line) for line in cli.run("show", "out", "--json").stdout.splitlines()]
    [backup] = [e["attempt"] for e in history if e["kind"] == "AttemptStarted" and e["backup"]]
    [revoked] = [e["attempt"] for e in history if e["kind"] == "AttemptRevoked"]
    assert (backup["task"], backup["number"]) == (revoked["task"], 2)
    assert revoked["number"] == 1
    assert all(
        name.endswith(("events.jsonl", "journal")) or "reduce" in name for name in objects(cli)
    )
    assert cli.run("verify", "out").code == 0
