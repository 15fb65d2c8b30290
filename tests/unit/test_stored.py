"""The head of a journal: all that a later process needs, or a clear word that it is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core_samples import attempt, committed, files, spec
from pymr import names
from pymr.config import resolve
from pymr.core.events import encode
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import Code
from pymr.errors import CorruptDataError, IncompleteError, RunNotFoundError
from pymr.runner.find import FoundRun, unfinished, unfinished_in
from pymr.runner.plan import Plan, Request
from pymr.runner.stored import StoredRun, folders_outside, head_of, read_stored
from pymr.store.folder_place import FolderPlace
from pymr.store.journal import Journal

RUN = "01a2-1"
INPUTS = files(26, 0)


def request(**settings: Any) -> Request:
    return Request(
        code=Code(path="/where/worker.py", pickle=b"\x80\xff", digest="ab", sys_path=("/x",)),
        worker="worker.py",
        inputs=("a*.txt", b"\xff.txt"),
        settings=resolve({"workers": 2, **settings}, {}, "/nowhere", "/nowhere").settings,
        params={"x": "1"},
    )


def plan(output: Path) -> Plan:
    return Plan(
        spec=msgspec.structs.replace(spec(), run=RUN),
        output=str(output),
        shown_output="./out",
        inputs=tuple(INPUTS),
        tasks=plan_map_tasks(INPUTS, 2),
        workers=2,
        memory_bytes=1 << 30,
        spool_folder="/tmp/copies",
        warnings=("a note",),
    )


def write(output: Path, records: list[bytes]) -> Path:
    path = output / names.journal_key(RUN)
    journal = Journal.create(str(path))
    for record in records:
        journal.append(record)
    journal.close()
    return path


def stored(output: Path, asked: Request | None = None) -> StoredRun:
    commit = encode(committed(attempt(0)))
    write(output, [*head_of(asked or request(), plan(output), 7.5), commit])
    return read_stored(FolderPlace(str(output)), RUN)


def test_what_is_needed_comes_back(tmp_path: Path) -> None:
    """Request, plan and decisions; names that are no text, too."""
    found = stored(tmp_path)

    before, kept, _ = found
    assert before.code == request().code
    assert before.given == (b"a*.txt", b"\xff.txt")
    assert before.folder == str(Path.cwd())
    assert (before.worker, before.params, before.started) == ("worker.py", {"x": "1"}, 7.5)
    assert before.settings == request().settings
    assert (before.inputs, before.tasks) == (tuple(INPUTS), plan(tmp_path).tasks)
    assert (before.spool_folder, before.warnings) == ("/tmp/copies", ("a note",))
    assert kept.spec == plan(tmp_path).spec
    assert kept.kept == (1, 0)


def test_a_relative_folder_means_the_same_from_anywhere(tmp_path: Path) -> None:
    """Spills went there; a resume from another folder must find them."""
    found = stored(tmp_path, request(tmp_dir="spills"))

    assert found.plan.settings.tmp_dir == str(Path.cwd() / "spills")


@pytest.mark.parametrize("count", [0, 1])
def test_a_run_that_ended_before_its_plan_was_written_has_nothing(
    tmp_path: Path, count: int
) -> None:
    """Neither has one without a journal."""
    write(tmp_path, head_of(request(), plan(tmp_path), 7.5)[:count])

    for run in (RUN, "another"):
        with pytest.raises(RunNotFoundError, match="it ended before it began"):
            read_stored(FolderPlace(str(tmp_path)), run)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"journal":1', b'"journal":2', "has format 2, expected 1"),
        (b'"journal":1', b'"diary":1', "has format 0, expected 1"),
        (b'"workers":2', b'"labourers":2', "holds what this version does not know"),
        (b'"TaskCommitted"', b'"TaskAbsolved"', "holds what this version does not know"),
    ],
)
def test_another_version_s_journal_is_refused(
    tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    """Exit 10: neither guessed at nor damaged."""
    records = [*head_of(request(), plan(tmp_path), 7.5), encode(committed(attempt(0)))]
    changed = [record.replace(old, new) for record in records]
    assert changed != records
    write(tmp_path, changed)

    with pytest.raises(IncompleteError, match=said) as caught:
        read_stored(FolderPlace(str(tmp_path)), RUN)

    assert "resume with the version" in str(caught.value.hint)


def test_a_damaged_journal_is_told_as_that(tmp_path: Path) -> None:
    """Exit 7."""
    stored(tmp_path)
    path = tmp_path / names.journal_key(RUN)
    path.write_bytes(path.read_bytes().replace(b"7.5", b"8.5"))

    with pytest.raises(CorruptDataError):
        read_stored(FolderPlace(str(tmp_path)), RUN)


# -- runs that can be resumed --------------------------------------------------------------------


def test_a_run_that_ended_early_can_be_resumed(tmp_path: Path) -> None:
    """It died; its journal says what it has kept."""
    expected = stored(tmp_path)
    found = FoundRun(RUN, "wordcount", FolderPlace(str(tmp_path)), 7.5)

    assert unfinished(found) == expected
    [(again, kept)] = unfinished_in(found.place)
    assert (again.run, again.name, again.output, again.started) == (
        "01a2-1",
        "wordcount",
        str(tmp_path),
        7.5,
    )
    assert kept == expected


def test_a_run_that_was_cancelled_or_has_no_plan_cannot(tmp_path: Path) -> None:
    """Neither can one that is nowhere."""
    stored(tmp_path)
    found = FoundRun(RUN, "wordcount", FolderPlace(str(tmp_path)), 7.5)
    (tmp_path / names.cancelled_key(RUN)).touch()
    assert unfinished(found) is None
    assert list(unfinished_in(FolderPlace(str(tmp_path)))) == []

    (tmp_path / names.cancelled_key(RUN)).unlink()
    (tmp_path / names.journal_key(RUN)).write_bytes(b"")
    assert unfinished(found) is None
    assert list(unfinished_in(FolderPlace(str(tmp_path)))) == []
    assert unfinished(FoundRun("gone", "x", FolderPlace(str(tmp_path / "nowhere")), 7.5)) is None


def test_only_folders_of_our_own_names_are_a_run_s_to_remove(tmp_path: Path) -> None:
    """A journal may be anybody's, and name the user's home as a copy of an input."""
    run = names.new_run_id()
    output = tmp_path / "out"
    spills, copy = tmp_path / f"pymr-{run}", tmp_path / f"pymr-input-{run}"

    def outside(spool_folder: Path) -> list[str]:
        path = output / names.journal_key(run)
        path.unlink(missing_ok=True)
        made = msgspec.structs.replace(plan(output), spool_folder=str(spool_folder))
        journal = Journal.create(str(path))
        for record in head_of(request(tmp_dir=str(tmp_path)), made, 7.5):
            journal.append(record)
        journal.close()
        return folders_outside(FolderPlace(str(output)), run)

    assert outside(copy) == [], "there are none"
    spills.mkdir()
    copy.mkdir()
    assert outside(copy) == [str(copy), str(spills)]
    assert outside(tmp_path) == [str(spills)]
    assert outside(copy / "..") == [str(spills)]
    assert folders_outside(FolderPlace(str(output)), "another") == []
