"""Which call of a run failed, and what it takes to make it again in this process.

    history ─► the failure of a task ─► record or key ─► file, or kept map outputs ─► one call

Where a failure names no record (its process was lost, a combiner or `setup` raised), all of the
task is done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pymr.api import Builtin, Job
from pymr.config import Settings
from pymr.core.events import AttemptFailed, AttemptLost, Entry
from pymr.core.replay import TaskName
from pymr.core.spec import Attempt, InputFile, MapSource, MapWork, PhaseName
from pymr.errors import (
    ConfigError,
    InputError,
    OutputError,
    PymrError,
    UserCodeError,
    from_dict,
)
from pymr.observe.quantity import show_many
from pymr.records.one_call import first_call, read_call, read_line
from pymr.records.split_reader import Call
from pymr.runner.find import FoundRun, history_of
from pymr.runner.reach import access_to
from pymr.runner.resume import folder_of
from pymr.runner.stored import StoredRun, read_stored
from pymr.runner.task_name import task_named
from pymr.shuffle.values import short_repr
from pymr.store.access import Access
from pymr.store.base import is_there
from pymr.task.blame import key_fields, show_record
from pymr.task.single import Emitted, Single
from pymr.task.user_code import load_job
from pymr.text_form import show_path

Function = Callable[..., object]
# From inputs and the settings of their run to how their stores are reached.
Reach = Callable[[Iterable[str | bytes], Settings], Access]


class Failure(NamedTuple):
    """How an attempt ended."""

    attempt: Attempt
    error: PymrError


class Target(NamedTuple):
    """A call of user code, or all calls of a task, to be made in this process."""

    task: str
    what: str  # the record, key or task that it is made with
    run: Callable[[], None]
    function: Function | None  # of the user's, that is called first
    where: dict[str, Any]  # fields of an error that it raises


class Debugged(NamedTuple):
    """A task of a run, with the user's code loaded here."""

    found: FoundRun
    stored: StoredRun
    task: TaskName
    failure: Failure | None
    job: Job
    is_changed: bool  # the code is not that of the run
    access: Access  # opens the stores of inputs

    @property
    def name(self) -> str:
        """The task, as events have it."""
        phase, index = self.task
        return str(Attempt(phase, index, 1))

    def target(self, emitted: Emitted, tmp: str, *, whole: bool) -> Target:
        """Return what to call: the record or key that failed, or the first one.

        Raises:
            InputError: the input is not as it was.
            OutputError: map outputs are gone.
        """
        single = Single(self.job, self.stored.replay.spec, emitted, self.access)
        fields = self.failure.error.fields if self.failure else {}
        if whole or (self.failure is not None and not _names_call(self.task, self.failure.error)):
            return self._whole(single, tmp)
        if self.task[0] == "map":
            return self._map(single, fields)
        return self._reduce(single, fields, tmp)

    def _map(self, single: Single, fields: dict[str, Any]) -> Target:
        spec, work = self.stored.replay.spec, self._work()
        if fields:
            file = _file_of(work, fields)
            read = read_line if fields.get("unit") == "line" else read_call
            call = read(file, fields["offset"], spec, self.access)
        else:
            found = first_call(work.inputs, work.splits, spec, self.access)
            if found is None:
                raise InputError(f"{self.name} has no record to call the mapper with")
            file, call = found
        where = {"input": show_path(file.name), "offset": call[0]}
        if spec.shape.input_format != "whole":
            where |= {"record": show_record(call[1]), "line": fields.get("line")}
        return Target(
            self.name,
            _shown_call(where, call),
            partial(single.call_mapper, file, call),
            self.job.mapper,
            where,
        )

    def _reduce(self, single: Single, fields: dict[str, Any], tmp: str) -> Target:
        groups = iter(self._groups(single, tmp))
        for key, values in groups:
            where = key_fields(key)
            if not fields or fields["key_digest"] == where["key_digest"]:
                return Target(
                    self.name,
                    f"key {short_repr(key)}",
                    partial(_reduce_one, single, key, values, groups),
                    _function_of(self.job.reducer),
                    where,
                )
        missing = f"the key {fields['key']}" if fields else "any key"
        raise OutputError(f"{self.name}: its map outputs do not hold {missing}")

    def _whole(self, single: Single, tmp: str) -> Target:
        if self.task[0] == "map":
            work = self._work()
            what = f"all of its {show_many(len(work.splits), 'split')}"
            return Target(self.name, what, partial(single.map_task, work, tmp), self.job.mapper, {})
        run = partial(single.reduce_task, self._groups(single, tmp))
        return Target(self.name, "all of its groups", run, _function_of(self.job.reducer), {})

    def _work(self) -> MapWork:
        plan = self.stored.plan
        splits = plan.tasks[self.task[1]].splits
        return MapWork(splits, {split.input: plan.inputs[split.input] for split in splits})

    def _groups(self, single: Single, tmp: str) -> Any:
        """Return the groups of the task's partition, from the map outputs that are kept."""
        replay = self.stored.replay
        store = self.found.place.objects
        receipts = [replay.committed.get(("map", task)) for task in range(replay.map_tasks)]
        sources = [
            MapSource(receipt.attempt.task, receipt.key, receipt.footer_digest or "", receipt.size)
            for receipt in receipts
            if receipt is not None and is_there(store, receipt.key)
        ]
        if len(sources) < replay.map_tasks:
            gone = replay.map_tasks - len(sources)
            raise OutputError(
                f"{self.name} reads {show_many(replay.map_tasks, 'map output')}, of which"
                f" {gone:,} are not there: not made, or removed when the run was done (--keep)",
                hint=f"pymr debug {self.found.name} map-0000   needs none",
            )
        return single.groups_of(store, sources, self.task[1], tmp)


def open_debug(found: FoundRun, task_text: str | None, reach: Reach = access_to) -> Debugged:
    """Load the user's code of a run into this process, in the folder where it was started.

    Without `task_text` the task is the first that failed.

    Raises:
        ConfigError: there is no such task, or nothing failed and none was named.
        WorkerFileError: the code cannot be loaded.
        RunNotFoundError: nothing is left of the run.
    """
    stored = read_stored(found.place, found.run)
    counts: dict[PhaseName, int] = {
        "map": stored.replay.map_tasks,
        "reduce": stored.replay.spec.reducers,
    }
    hint = f"pymr errors {found.name}   lists those that failed"
    wanted = None if task_text is None else task_named(task_text, counts, hint)
    failure = failure_in(history_of(found), wanted, stored.replay.committed)
    if wanted is None and failure is None:
        raise ConfigError(
            f"{found.name}: nothing failed; name a task to debug its first record",
            hint=f"pymr debug {found.name} map-0000",
        )
    task = wanted or (failure.attempt.phase, failure.attempt.task)  # type: ignore[union-attr]
    os.chdir(folder_of(stored.plan))
    job, shape = load_job(stored.plan.code)
    access = reach([file.path for file in stored.plan.inputs], stored.plan.settings)
    is_changed = shape.digest != stored.replay.spec.shape.digest
    return Debugged(found, stored, task, failure, job, is_changed, access)


def failure_in(
    history: Iterable[Entry], wanted: TaskName | None, committed: Iterable[TaskName]
) -> Failure | None:
    """Return the last failure of a task; of any task, the first of one that is not done since."""
    failures = list(_failures(history))
    if wanted is not None:
        of_task = [each for each in failures if _name(each.attempt) == wanted]
        return of_task[-1] if of_task else None
    done = set(committed)
    is_open = [each for each in failures if _name(each.attempt) not in done]
    return next(iter(is_open or failures), None)


def _failures(history: Iterable[Entry]) -> Iterator[Failure]:
    for entry in history:
        match entry.event:
            case AttemptFailed(attempt, error) | AttemptLost(attempt, _, error):
                yield Failure(attempt, from_dict(error))


def _name(attempt: Attempt) -> TaskName:
    return attempt.phase, attempt.task


def _names_call(task: TaskName, error: PymrError) -> bool:
    """Say whether an error is about one call of the mapper or reducer, and which."""
    fields = error.fields
    if task[0] == "map":
        return isinstance(error, (UserCodeError, InputError)) and "offset" in fields
    is_reducer = isinstance(error, UserCodeError) and fields.get("function") == "reducer"
    return is_reducer and "key_digest" in fields


def _file_of(work: MapWork, fields: dict[str, Any]) -> InputFile:
    """Return the input that an error names, by the split that has its offset."""
    for split in work.splits:
        file = work.inputs[split.input]
        is_within = file.stream or split.start <= fields["offset"] < split.end
        if show_path(file.name) == fields["input"] and is_within:
            return file
    raise InputError(f"no split of the task has byte {fields['offset']} of `{fields['input']}`")


def _function_of(reducer: Builtin | Function | None) -> Function | None:
    return None if isinstance(reducer, Builtin) else reducer


def _reduce_one(single: Single, key: Any, values: Any, _groups: object) -> None:
    """Call the reducer with a group of `_groups`, which is what its values are read from."""
    single.call_reducer(key, values)


def _shown_call(where: dict[str, Any], call: Call) -> str:
    line = f"line {where['line']} " if where.get("line") is not None else ""
    record = f':  "{where["record"]}"' if "record" in where else ""
    return f"record {where['input']}  {line}(byte {call[0]}){record}"
