"""A run is found by folder, id and name, and how it stands is read from its output."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from core_samples import spec
from pymr import names
from pymr.core.events import Event, RunFinished, RunPlanned, RunResumed, Warned
from pymr.errors import InterruptedRunError, RunNotFoundError, UserCodeError, to_dict
from pymr.names import MANIFEST
from pymr.observe.feed import Feed, JsonLines
from pymr.runner.find import FoundRun, committed_manifest, find_run, history_of, state_of
from pymr.store.access import Access
from pymr.store.claim import ClaimRecord, LocalClaim
from pymr.store.folder_place import FolderPlace
from pymr.store.local import LocalStore
from pymr.store.registry import NO_CLUSTER, Cluster, RegisteredRun, register
from staged_run import OLD, published

RUN = "01a2-1"
PLANNED = RunPlanned(spec(), 1, 1, 26)
FOR_A_MASTER = RunPlanned(spec(), 1, 1, 26, epoch=0)
TAKEN_ON = RunResumed(spec(), 1, 1, 26, epoch=1)
FAILED = RunFinished(to_dict(UserCodeError("no")))
INTERRUPTED = RunFinished(to_dict(InterruptedRunError("by Ctrl-C", signal="SIGINT")))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder and a state directory of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_history(output: Path, run: str, *history: Event) -> None:
    with FolderPlace(str(output)).history(run, list) as file:
        feed = Feed([JsonLines(file.append)], lambda: 7.5)
        for event in history:
            feed.append(event)


def claim(output: Path, run: str) -> LocalClaim:
    record = ClaimRecord(run=run, name="n", pid=os.getpid(), host="h", started=1.0)
    return LocalClaim.take(str(output), record)


def told(found: FoundRun) -> tuple[str, str, str, float]:
    return found.run, found.name, found.output, found.started


# -- finding -----------------------------------------------------------------------------------


def test_a_committed_output_is_found_by_its_folder(here: Path) -> None:
    """From its manifest, even if its history is lost; relative, absolute, with a slash."""
    published(LocalStore(str(here / "out")), RUN, OLD)

    for text in ("out", "out/", "./out", str(here / "out")):
        assert told(find_run(text)) == (RUN, f"name-{RUN}", str(here / "out"), 1.5)


def test_the_newest_history_in_a_folder_names_its_run(here: Path) -> None:
    """A run at work, or one that failed, has no manifest yet; ids ascend with time."""
    write_history(here / "out", "00-1", PLANNED)
    write_history(here / "out", "00-2", Warned("before it"), PLANNED)

    found = find_run("out")

    assert (found.run, found.name, found.started) == (PLANNED.spec.run, "wordcount", 7.5)


def test_a_history_without_a_plan_says_nothing(here: Path) -> None:
    """Torn before its first line was whole: no run is made up."""
    write_history(here / "out", RUN, Warned("m"))

    with pytest.raises(RunNotFoundError):
        find_run("out")


def test_a_run_in_the_default_folder_is_found_by_name(here: Path) -> None:
    """`pymr-out/NAME` is where runs go that are not told otherwise."""
    published(LocalStore(str(here / "pymr-out/words")), RUN, OLD)

    assert find_run("words").output == str(here / "pymr-out/words")


def test_the_registry_knows_ids_and_names() -> None:
    """Of a name the newest run; an id is exact."""
    for number in (1, 2, 3):
        name = "words" if number < 3 else "other"
        register(RegisteredRun(f"01-{number}", name, f"/out/{number}", float(number)))

    assert told(find_run("words")) == ("01-2", "words", "/out/2", 2.0)
    assert told(find_run("01-1")) == ("01-1", "words", "/out/1", 1.0)


def test_a_run_began_when_its_plan_says_however_it_is_found(here: Path) -> None:
    """Its history is written a moment later; the account's list has the time of the plan."""
    write_history(here / "out", "00-2", msgspec.structs.replace(PLANNED, started=7.25))

    assert find_run("out").started == 7.25


def test_a_folder_goes_before_a_name(here: Path) -> None:
    """What lies here is meant, not a run elsewhere that is called the same."""
    register(RegisteredRun("01-1", "out", "/elsewhere", 1.0))
    published(LocalStore(str(here / "out")), RUN, OLD)

    assert find_run("out").output == str(here / "out")


def test_a_known_run_is_not_looked_for_in_a_cluster_that_it_is_not_in() -> None:
    """Whatever cluster the settings of the day name."""
    asked: list[Cluster | None] = []

    def access(cluster: Cluster | None) -> Access:
        asked.append(cluster)
        return Access()

    register(RegisteredRun("01-1", "far", "s3://bucket/out", 1.0, "http://127.0.0.1:9"))
    in_pods = Cluster("kind", "default", has_store=True)
    register(RegisteredRun("01-2", "pods", "s3://bucket/out", 1.0, cluster=in_pods))

    find_run("far", access)
    find_run("pods", access)

    assert asked == [NO_CLUSTER, in_pods]
    assert not NO_CLUSTER.has_store


def test_near_names_are_told() -> None:
    """At most three; none if nothing is near."""
    for number, name in enumerate(["words1", "words2", "words3", "words4", "sales"]):
        register(RegisteredRun(f"01-{number}", name, "/out", 1.0))

    with pytest.raises(RunNotFoundError) as near:
        find_run("words")
    with pytest.raises(RunNotFoundError) as far:
        find_run("zzzzzz")

    assert near.value.message.partition("; near: ")[2].count("words") == 3
    assert "near" not in far.value.message
    assert str(near.value.hint).startswith("pymr jobs ")


def test_a_manifest_that_is_corrupt_counts_as_none(here: Path) -> None:
    """`verify` says what is wrong; finding a run must not fail for it."""
    store = LocalStore(str(here / "out"))
    published(store, RUN, OLD)
    store.replace(MANIFEST, store.get(MANIFEST).replace(b'"records": 2', b'"records": 3'))

    assert committed_manifest(FolderPlace(str(here / "out"))) is None


# -- how it stands -----------------------------------------------------------------------------


def found(output: Path, run: str = RUN) -> FoundRun:
    return FoundRun(run, "n", FolderPlace(str(output)), 1.0)


def test_a_run_without_an_output_is_gone(here: Path) -> None:
    """Its folder was removed, or holds nothing of it any more."""
    assert state_of(found(here / "none")) == "gone"
    published(LocalStore(str(here / "out")), "another", OLD)
    assert state_of(found(here / "out")) == "gone"
    assert history_of(found(here / "out")) == []


def test_a_run_with_a_manifest_is_done(here: Path) -> None:
    """The manifest is the commit, whatever the history says."""
    published(LocalStore(str(here / "out")), RUN, OLD)
    write_history(here / "out", RUN, PLANNED, FAILED)

    assert state_of(found(here / "out")) == "done"


def test_a_result_whose_manifest_is_not_what_was_written_is_damaged(here: Path) -> None:
    """It was done; that no other run has taken its place can be seen."""
    write_history(here / "out", RUN, PLANNED, RunFinished())
    published(LocalStore(str(here / "out")), RUN, OLD)
    LocalStore(str(here / "out")).replace(names.MANIFEST, b"")

    assert state_of(found(here / "out")) == "damaged"


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ([PLANNED], "died"),
        ([PLANNED, FAILED], "failed"),
        ([PLANNED, INTERRUPTED], "interrupted"),
        ([PLANNED, RunFinished()], "replaced"),
        ([], "died"),
        ([FOR_A_MASTER, Warned("before it")], "waiting"),
        ([FOR_A_MASTER, INTERRUPTED], "interrupted"),
        ([FOR_A_MASTER, TAKEN_ON], "died"),
    ],
)
def test_a_run_without_a_manifest_stands_as_its_history_ends(
    here: Path, history: list[Event], state: str
) -> None:
    """Without an end it died; with a good end another run has taken its place.

    One that was left to a master waits for it until one has taken it on.
    """
    write_history(here / "out", RUN, *history)
    (here / "out" / names.run_prefix(RUN)).mkdir(parents=True, exist_ok=True)

    assert state_of(found(here / "out")) == state
    assert [entry.event for entry in history_of(found(here / "out"))] == history


def test_a_run_that_holds_its_claim_is_running(here: Path) -> None:
    """A claim of another run, or one whose owner is gone, is not this run's."""
    write_history(here / "out", RUN, PLANNED)
    write_history(here / "out", "other", PLANNED)
    held = claim(here / "out", RUN)
    try:
        states = [state_of(found(here / "out", run)) for run in (RUN, "other")]
    finally:
        held.release()

    assert states == ["running", "died"]
    assert state_of(found(here / "out")) == "died"
