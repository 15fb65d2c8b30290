"""F23: a disk that forgets what was not fsynced, at each point of a run.

Every process of a real `pymr start` notes each fsync, and what the folder held then. From that a
power cut is played at each of these points, in three ways:

    worst     what was fsynced is there and nothing else, no name without the fsync of its folder
    names     all names are there, of unsynced files without their bytes
    all       everything is there

In what is left the run is resumed, or started anew where no plan had become durable.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli import CommandLine, Outcome
from pymr.errors import RunNotFoundError
from pymr.runner.stored import read_stored
from pymr.store.folder_place import FolderPlace
from pymr.store.local import LocalStore
from pymr.task.commit import verify_kept, verify_output
from pymr.task.manifest import read_manifest
from stopped_run import go_on, prepare, start

# In every process: one log for all, in one order; the journal is synced after each decision.
SITE = """\
import fcntl, os, pickle, stat
import pymr.runner.local

pymr.runner.local.JOURNAL_SYNC_S = 0.0
TOP, LOG = {top!r}, {log!r}
fsync = os.fsync

def noted(descriptor):
    with open(LOG + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = os.fstat(descriptor)
        fsync(descriptor)
        if stat.S_ISDIR(found.st_mode):
            synced = {{e.name: (e.inode(), e.is_dir()) for e in os.scandir(descriptor)}}
        else:
            path = os.readlink(f"/proc/self/fd/{{descriptor}}")
            with open(path, "rb") as file:
                synced = file.read()
            if not os.path.exists(f"{{LOG}}/{{found.st_ino}}"):
                os.link(path, f"{{LOG}}/{{found.st_ino}}")  # It keeps its number.
        tree = {{}}
        for folder, folders, files in os.walk(TOP):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                try:
                    seen = os.lstat(path)
                    body = None if stat.S_ISDIR(seen.st_mode) else open(path, "rb").read()
                except OSError:
                    continue  # Another process has removed it.
                tree[os.path.relpath(path, TOP)] = seen.st_ino, body
        with open(LOG + "/log", "ab") as log:
            pickle.dump((found.st_ino, synced, tree), log)

os.fsync = noted
"""

Tree = dict[str, bytes | None]  # by path; None: a folder
Synced = bytes | dict[str, tuple[int, bool]]  # a file's bytes, or a folder's names


class Point(NamedTuple):
    """One fsync: of which inode, what it made durable, and what there was to be seen."""

    inode: int
    synced: Synced
    tree: dict[str, tuple[int, bytes | None]]


class Recorded(NamedTuple):
    """A run to its end, point by point."""

    cli: CommandLine
    rows: list[str]
    top: int  # the inode of the folder that it was started in
    points: list[Point]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return a run to which nothing happens, and all that it made durable."""
    folder = tmp_path_factory.mktemp("power")
    cli = CommandLine(folder)
    prepare(cli)
    (folder / "log").mkdir()
    (folder / "site").mkdir()
    site = SITE.format(top=str(cli.folder), log=str(folder / "log"))
    (folder / "site/sitecustomize.py").write_text(site)

    rows = start(cli, "--workers=2", environ={"PYTHONPATH": str(folder / "site")}).succeeded()

    points = [Point(*entry) for entry in unpickled(folder / "log/log")]
    return Recorded(cli, rows, cli.folder.stat().st_ino, points)


def unpickled(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)


def worst(run: Recorded, end: int) -> Tree:
    """Return what was fsynced in the first `end` points, reached by names that were, too."""
    durable = {point.inode: point.synced for point in run.points[:end]}

    def reached(folder: int, prefix: str) -> Iterator[tuple[str, bytes | None]]:
        names = durable.get(folder, {})
        assert isinstance(names, dict)
        for name, (inode, is_folder) in names.items():
            if is_folder:
                yield prefix + name, None
                yield from reached(inode, f"{prefix}{name}/")
            else:
                yield prefix + name, bytes_of(durable, inode)

    return dict(reached(run.top, ""))


def names(run: Recorded, end: int) -> Tree:
    """Return all that there was, of files what was fsynced."""
    durable = {point.inode: point.synced for point in run.points[:end]}
    tree = run.points[end - 1].tree
    return {
        name: None if body is None else bytes_of(durable, inode)
        for name, (inode, body) in tree.items()
    }


def everything(run: Recorded, end: int) -> Tree:
    """Return all that there was."""
    return {name: body for name, (_, body) in run.points[end - 1].tree.items()}


def bytes_of(durable: dict[int, Synced], inode: int) -> bytes:
    body = durable.get(inode, b"")
    assert isinstance(body, bytes)
    return body


def power_on(run: Recorded, tree: Tree) -> None:
    """Make the output what the power cut has left of it."""
    shutil.rmtree(run.cli.folder / "out", ignore_errors=True)
    for name, body in sorted(tree.items()):
        if name == "out" or name.startswith("out/"):
            path = run.cli.folder / name
            path.mkdir() if body is None else path.write_bytes(body)


def kept_in(output: Path) -> int | None:
    """Return how many tasks are committed, each of which must be there; None: there is no plan."""
    store = LocalStore(str(output))
    try:
        manifest = read_manifest(store)
    except RunNotFoundError:
        pass
    else:
        for part in manifest.parts:
            assert hashlib.sha256(store.get(part.key)).hexdigest() == part.sha256
        return len(manifest.tasks)
    place = FolderPlace(str(output))
    for run in place.runs():
        try:
            committed = read_stored(place, run).replay.committed
        except RunNotFoundError:
            return None
        for receipt in committed.values():
            verify_kept(store, receipt)
        return len(committed)
    return None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cut", [worst, names, everything], ids=lambda cut: cut.__name__)
def test_f23_a_power_cut_costs_what_was_not_synced_and_nothing_else(
    recorded: Recorded, cut: Callable[[Recorded, int], Tree]
) -> None:
    """Every object that the journal or the manifest names is there; the run goes on from there."""
    kept = []
    seen: list[Tree] = []
    step = 1 if cut is worst else 2  # to save time
    for end in reversed(range(len(recorded.points), 0, -step)):
        tree = cut(recorded, end)
        if tree in seen:
            continue
        seen.append(tree)
        power_on(recorded, tree)
        kept.append(kept_in(recorded.cli.folder / "out"))

        go_on(recorded.cli, "--workers=2")

        assert Outcome(0, "", "", recorded.cli.folder).rows() == recorded.rows
        assert verify_output(LocalStore(str(recorded.cli.folder / "out"))) == []

    found = [count for count in kept if count is not None]
    assert found == sorted(found), "what was durable stays so"
    assert len(set(found)) > 3, f"work is lost that was done: {kept}"
    assert kept[-1] == 6, "success was told when all of it was durable"
