"""The list of mutants fits the code as it is; `make mutants` runs it."""

from __future__ import annotations

import pytest

from mutants import ROOT, Mutant, mutants

LEAST = 20


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mutant_still_applies(mutant: Mutant) -> None:
    """What it changes stands there once, and the tests that shall notice exist."""
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    for name in mutant.tests.split():
        file, _, test = name.partition("::")
        assert f"def {test}" in (ROOT / "tests" / file).read_text("utf-8")


def test_there_are_mutants_of_all_that_must_be_right() -> None:
    """Core, commit, ledger, journal, store, merge and master, of Python and of Rust."""
    files = {mutant.file.removeprefix("src/pymr/") for mutant in mutants()}

    assert len(mutants()) >= LEAST
    assert len({mutant.name for mutant in mutants()}) == len(mutants())
    assert files >= {
        "core/phase.py",
        "core/job.py",
        "core/replay.py",
        "core/ledger.py",
        "task/commit.py",
        "store/journal.py",
        "store/local.py",
        "store/claim.py",
        "shuffle/merge.py",
        "rust/src/merge.rs",
        "cluster/admission.py",
        "cluster/decisions.py",
        "cluster/master.py",
        "cluster/roster.py",
    }
