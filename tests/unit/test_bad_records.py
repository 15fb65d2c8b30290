"""How many bad records a run bears, and how the core has them looked for and left out."""

from __future__ import annotations

import msgspec
import pytest

from core_samples import (
    asked,
    attempt,
    complete,
    failed,
    files,
    finished,
    map_verified,
    phase,
    spec,
)
from pymr.core.bad_records import refuse_number, refuse_ratio
from pymr.core.events import (
    Abort,
    AttemptFailed,
    Command,
    Grant,
    Journal,
    Note,
    PhaseFinished,
    Recovered,
    TaskInvalidated,
    Verified,
)
from pymr.core.job import Job
from pymr.core.limit import PhaseLimits
from pymr.core.plan import plan_map_tasks
from pymr.core.spec import BadObject, JobSpec, SkipRules
from pymr.errors import BadRecordsError, IntegrityError, PymrError, UserCodeError, from_dict

AT_RECORD = UserCodeError(
    "mapper raised KeyError: 'ts'", function="mapper", offset=7, input="a", error_type="KeyError"
)


def skipping(records_max: int = 5, ratio_max: float = 0.01) -> JobSpec:
    skip = SkipRules(records_max=records_max, ratio_max=ratio_max)
    return msgspec.structs.replace(spec(), skip=skip)


# -- what a run bears --------------------------------------------------------------------------


def test_as_many_as_were_allowed_may_be_left_out() -> None:
    """The limit is what may be left out, not the first number that may not."""
    refuse_number(skipping(5), 5, 1000, "KeyError 'ts'")

    with pytest.raises(BadRecordsError, match=r"^0\.6 % of 1,000 records failed: KeyError 'ts'; "):
        refuse_number(skipping(5), 6, 1000, "KeyError 'ts'")


@pytest.mark.parametrize(
    ("bad", "records", "share"),
    [
        (512, 512, "100 %"),
        (511, 512, "99 %"),
        (1, 1_000_000, "0.0001 %"),
        (55, 1000, "5.5 %"),
    ],
)
def test_the_share_that_failed_is_told(bad: int, records: int, share: str) -> None:
    """100 % is all of them, and a few are never 0 %."""
    with pytest.raises(BadRecordsError) as caught:
        refuse_number(skipping(0), bad, records, "KeyError 'ts'", {"offset": 7})

    assert caught.value.message.startswith(f"{share} of {records:,} records failed: KeyError 'ts'")
    assert caught.value.fields == {
        "setting": caught.value.fields["setting"],
        "bad_records": bad,
        "records": records,
        "examples": [{"offset": 7}],
    }


@pytest.mark.parametrize(("bad", "typed"), [(6, 10), (4, 5), (11, 50), (60, 100), (5, 5)])
def test_a_number_that_would_do_is_told(bad: int, typed: int) -> None:
    """It can be typed as it stands."""
    with pytest.raises(BadRecordsError) as caught:
        refuse_number(skipping(0), bad, 1000, "KeyError 'ts'")

    assert caught.value.fields["setting"] == f"--skip-bad-records {typed}"


@pytest.mark.parametrize(
    ("bad", "records"),
    [(0, 0), (0, 5), (10, 20), (1, 2), (11, 1100)],
)
def test_a_share_that_is_small_or_of_few_is_borne(bad: int, records: int) -> None:
    """One bad line of two is half of a small input: the ratio has no say on ten or fewer."""
    refuse_ratio(skipping(), bad, records, "KeyError 'ts'")


@pytest.mark.parametrize(
    ("bad", "records", "setting"),
    [
        (11, 1099, "--max-skip-ratio 2%"),
        (11, 22, "--max-skip-ratio 50%"),
        (1, 1, None),
        (512, 512, None),
    ],
)
def test_a_large_share_is_refused_and_so_is_a_result_of_nothing(
    bad: int, records: int, setting: str | None
) -> None:
    """A mapper that raises for every record is wrong, however few there are."""
    with pytest.raises(BadRecordsError) as caught:
        refuse_ratio(skipping(), bad, records, "KeyError 'ts'")

    assert caught.value.fields["setting"] == setting
    assert ("--max-skip-ratio" in caught.value.message) == (bad < records)


# -- a task with bad records -------------------------------------------------------------------


def last_grant(commands: list[Command]) -> Grant:
    return next(command for command in commands if isinstance(command, Grant))


def test_a_task_that_fails_at_a_record_gets_an_attempt_that_leaves_bad_ones_out() -> None:
    """It is no failure, so it takes none of the attempts: the one there is may still fail."""
    p = phase(may_scan=True, attempts_max=1)
    first = last_grant(p.handle(asked()))

    commands = p.handle(failed(first.attempt, AT_RECORD))

    assert [type(command) for command in commands] == [Note]
    note = commands[0].event  # type: ignore[attr-defined]
    assert isinstance(note, AttemptFailed)
    assert note.will_scan
    assert note.will_retry
    assert not first.is_scan
    second = last_grant(p.handle(asked()))
    assert second.is_scan
    complete(p, second.attempt)
    assert p.done


def test_an_attempt_that_scans_and_fails_at_a_record_fails_as_usual() -> None:
    """What only the clean pass raises cannot be left out: the second time ends the run."""
    p = phase(may_scan=True)
    p.handle(failed(last_grant(p.handle(asked())).attempt, AT_RECORD, signature="first"))
    second = last_grant(p.handle(asked())).attempt

    note, *rest = p.handle(failed(second, AT_RECORD, signature="other"))

    assert isinstance(note, Note)
    assert not note.event.will_scan  # type: ignore[attr-defined]
    assert rest == []
    third = last_grant(p.handle(asked()))
    assert third.is_scan
    commands = p.handle(failed(third.attempt, AT_RECORD, signature="other"))
    assert isinstance(commands[-1], Abort)


def test_a_backup_that_fails_at_the_same_record_is_no_failure_either() -> None:
    """Both attempts began before anybody knew of the record."""
    p = phase(tasks=4, may_scan=True, attempts_max=1, backup_floor_s=0.1)
    for index in range(3):
        p.handle(asked(now=0.0))
        complete(p, attempt(index), now=1.0)
    slow = last_grant(p.handle(asked("slow", now=1.0))).attempt
    backup = last_grant(p.handle(asked("fast", now=9.0))).attempt

    for each in (slow, backup):
        commands = p.handle(failed(each, AT_RECORD, now=9.5))
        assert not any(isinstance(command, Abort) for command in commands)

    assert last_grant(p.handle(asked("w", now=9.6))).is_scan
    p.check()


@pytest.mark.parametrize(
    "error",
    [
        UserCodeError("setup raised KeyError", function="setup"),
        UserCodeError("combiner raised KeyError", function="combiner", key="a"),
        UserCodeError("mapper raised KeyError", function="mapper", error_type="KeyError"),
        PymrError("no such file", function="mapper", offset=7),
        UserCodeError("mapper made no progress within 2 s", function="mapper", offset=7),
    ],
    ids=["setup", "combiner", "nowhere", "not_of_user_code", "a_hang"],
)
def test_what_is_not_raised_for_a_record_is_a_failure(error: PymrError) -> None:
    """A record that is left out would not help."""
    p = phase(may_scan=True, attempts_max=1)

    commands = p.handle(failed(last_grant(p.handle(asked())).attempt, error))

    assert isinstance(commands[-1], Abort)


def test_without_leave_the_record_fails_the_run_as_before() -> None:
    """The second identical failure is the last."""
    p = phase()
    for _ in range(2):
        commands = p.handle(failed(last_grant(p.handle(asked())).attempt, AT_RECORD, "same"))

    assert isinstance(commands[-1], Abort)


# -- a run with bad records --------------------------------------------------------------------

TASKS = plan_map_tasks(files(26), 2)


def skipping_job(records_max: int, ratio_max: float = 1.0) -> Job:
    return Job(skipping(records_max, ratio_max), files(26), TASKS, PhaseLimits())


def with_bad(task: int, bad: int, number: int = 1) -> Verified:
    """A map attempt that has left out `bad` records of its one split."""
    told = map_verified(attempt(task, number), TASKS[task], 2)
    [split] = told.splits
    receipt = msgspec.structs.replace(
        told.receipt,
        calls=told.receipt.records_in - bad,
        bad_records=bad,
        bad_object=BadObject(key=f"bad-{task}", size=1, sha256="", error=f"KeyError {task}")
        if bad
        else None,
    )
    splits = (msgspec.structs.replace(split, bad_records=bad),)
    return msgspec.structs.replace(told, receipt=receipt, splits=splits)


def commit(j: Job, event: Verified) -> list[Command]:
    j.handle(asked())
    j.handle(finished(event.receipt.attempt))
    [journal] = j.handle(event)
    assert isinstance(journal, Journal)
    return j.handle(journal.decision)


def error_of(commands: list[Command]) -> PymrError:
    [abort] = commands
    assert isinstance(abort, Abort)
    return from_dict(abort.error)


def test_bad_records_stand_in_the_books() -> None:
    """Records read are those that the mapper was called with, and those left out."""
    j = skipping_job(5)

    commit(j, with_bad(0, 2))
    commands = commit(j, with_bad(1, 3))

    assert commands == [Note(PhaseFinished("map", 2))]
    summary = j.ledger.summary()
    assert (summary.records_in, summary.map_calls, summary.bad_records) == (26, 21, 5)
    assert [each.bad_records for each in summary.inputs] == [5]


def test_the_whole_run_has_one_limit() -> None:
    """Two tasks that may each leave out three do not make six."""
    j = skipping_job(5)
    commit(j, with_bad(0, 3))

    error = error_of(commit(j, with_bad(1, 4)))

    assert isinstance(error, BadRecordsError)
    assert error.message.startswith("26 % of 26 records failed: KeyError 1; expected at most 5 ")
    assert j.failed


def test_the_ratio_is_looked_at_when_all_is_read() -> None:
    """A task in which all is bad may be balanced by the others; here it is not."""
    j = skipping_job(20, ratio_max=0.4)
    assert not j.failed
    commit(j, with_bad(0, 13))
    assert not j.failed

    error = error_of(commit(j, with_bad(1, 0)))

    assert isinstance(error, BadRecordsError)
    assert error.message.startswith("50 % of 26 records failed: KeyError 0; expected at most 40 % ")


def test_what_was_committed_before_counts() -> None:
    """A resumed run may leave out no more, in all, than it is told now."""
    kept = with_bad(0, 3)

    told = Recovered(kept.receipt, kept.partitions, kept.splits)
    borne = skipping_job(3)
    borne.handle(told)
    assert not borne.failed
    commands = skipping_job(2).handle(told)

    assert isinstance(error_of(commands), BadRecordsError)


@pytest.mark.parametrize(
    ("receipt", "split", "what"),
    [
        ({"bad_records": 1}, {}, "0 bad records in splits, 1 in all"),
        ({}, {"bad_records": 1}, "1 bad records in splits, 0 in all"),
        ({"calls": 12}, {}, r"13 good records \(13 read - 0 bad\), 12 calls of the mapper"),
        ({"bad_records": 1}, {"bad_records": 1}, r"12 good records \(13 read - 1 bad\), 13 calls"),
    ],
    ids=["not_in_splits", "not_in_all", "one_call_less", "called_with_a_bad_one"],
)
def test_a_bad_record_that_is_in_one_book_only_is_found(receipt, split, what: str) -> None:
    """A record that was read was mapped, or it is bad; no other way out."""
    told = with_bad(0, 0)
    wrong = msgspec.structs.replace(told.receipt, **receipt)
    splits = (msgspec.structs.replace(told.splits[0], **split),)

    with pytest.raises(IntegrityError, match=what):
        skipping_job(5).ledger.fold_map(wrong, told.partitions, splits)


def test_a_chunk_may_hold_many_records() -> None:
    """Of a text job, calls are not records."""
    told = with_bad(0, 0)
    shape = msgspec.structs.replace(spec().shape, input_format="text")
    j = Job(msgspec.structs.replace(spec(), shape=shape), files(26), TASKS, PhaseLimits())
    receipt = msgspec.structs.replace(told.receipt, calls=1)

    j.ledger.fold_map(receipt, told.partitions, told.splits)

    assert j.ledger.records_in == 13


def test_a_lost_output_must_have_the_same_bad_records_again() -> None:
    """A record that is bad now and then is as little deterministic as a pair."""
    j = skipping_job(5)
    before, again = with_bad(0, 1), with_bad(0, 2, number=2)
    commit(j, before)
    j.handle(TaskInvalidated(before.receipt, "it is gone"))
    j.handle(asked())
    j.handle(finished(again.receipt.attempt))

    assert "not deterministic" in error_of(j.handle(again)).message


def test_a_replay_may_write_something_else_by_the_same_code() -> None:
    """The task left a record out, and does not any more: that is what it is done again for."""
    before, again = with_bad(0, 1), with_bad(0, 0, number=1001)
    j = Job(skipping(), files(26), TASKS, PhaseLimits(attempt_first=1001))
    j.handle(TaskInvalidated(before.receipt, "its bad records are tried again", is_replay=True))

    commands = commit(j, again)

    assert commands == []
    assert j.map.committed == {0: again.receipt}
    assert j.ledger.bad_records == 0
