"""What the user's code finds around it in a task process: paths, environment, streams."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

from cli import CommandLine
from pymr.runner.process import _PACKAGE_PARENT

LOOK_AROUND = """\
import json, os, sys
import pymr

def mapper(ctx, chunk):
    ctx.emit("path", sys.path)
    ctx.emit("argv", sys.argv)
    ctx.emit("environ", {k: v for k, v in os.environ.items() if k.startswith("PYTHON")})
    ctx.emit("hash", hash("pymr"))

job = pymr.Job(mapper=mapper)
"""


def looked_around(cli: CommandLine, *, folder: str = "deep") -> dict[str, object]:
    """Return what a worker in `folder` sees, called from the folder above."""
    cli.write("in.txt", "x\n")
    cli.write(f"{folder}/look.py", LOOK_AROUND)
    outcome = cli.run(
        "start", "--input=in.txt", "--output=out", "--format=jsonl", f"{folder}/look.py"
    )
    assert outcome.code == 0, outcome.stderr
    rows = [json.loads(row) for row in outcome.rows()]
    return {row["key"]: row["value"] for row in rows}


def test_the_standard_library_comes_before_the_worker_and_packages_after(tmp_path: Path) -> None:
    """So `queue.py` beside the worker breaks nobody, and `msgspec.py` there is the worker's."""
    cli = CommandLine(tmp_path)

    path = looked_around(cli)["path"]

    assert isinstance(path, list)
    library, packages = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
    worker = str(cli.folder / "deep")
    assert path.index(library) < path.index(worker) < path.index(packages)
    assert str(cli.folder) not in path, "the current folder is not the worker's"
    assert "" not in path
    assert path[-1] == _PACKAGE_PARENT, "what holds PyMR itself is looked up last"


def test_a_file_in_the_current_folder_shadows_nothing(tmp_path: Path) -> None:
    """Neither in PyMR nor in the worker; wherever the user happens to be."""
    cli = CommandLine(tmp_path)
    for name in ("enum", "random", "msgspec", "json", "pymr"):
        cli.write(f"{name}.py", "raise SystemExit('was imported')\n")

    assert looked_around(cli)["argv"] == [str(cli.folder / "deep/look.py")]


def test_hashes_are_the_same_in_every_process_and_nothing_else_is_set(tmp_path: Path) -> None:
    """A set of the user's is in the same order each time; his PYTHONPATH is as it was."""
    cli = CommandLine(tmp_path)
    cli.environ = {k: v for k, v in cli.environ.items() if not k.startswith("PYTHON")}
    first = looked_around(cli)
    (tmp_path / "deeper").mkdir()
    second_cli = CommandLine(tmp_path / "deeper")
    second_cli.environ |= {"PYTHONHASHSEED": "7"}

    second = looked_around(second_cli)

    assert first["environ"] == {"PYTHONHASHSEED": "0"}
    assert first["hash"] == second["hash"]
