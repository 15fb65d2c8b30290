"""Trials of a job's functions on a sample: what they emit, call by call. Nothing is written.

    split ─► mapper ─► digests of calls, pairs ─► groups ─► reducer ─► digests of groups
                                                      └───► combiner, three ways (law.py)

Calls are made as in an attempt, and refuse what an attempt refuses. What another process had is
given as digests; the first call that differs is described.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from pymr._native import encode_key, encode_value, xxh3_64
from pymr.api import Job
from pymr.core.spec import JobSpec
from pymr.core.trial import Difference, MapTrial, MapTrialWork, ReduceTrial, ReduceTrialWork
from pymr.errors import UserCodeError
from pymr.records.split_reader import Call, SplitReader, line_number, open_split
from pymr.shuffle.normal_form import normalized
from pymr.shuffle.values import short_repr
from pymr.store.access import AMBIENT, Access
from pymr.task.attempt import ProgressReport, Ticker, call_hook, rss_bytes_max
from pymr.task.blame import show_record
from pymr.task.context import TaskContext
from pymr.task.map_attempt import Mapping, checking_sink
from pymr.task.trial_attempt import TrialAttempt
from pymr.task.trial_groups import try_groups
from pymr.text_form import show_path

TRIAL_BYTES_MAX = 128 << 20  # of encoded pairs in a task process
PAIRS_SHOWN = 3
DIGEST_BYTES = 8

Groups = dict[bytes, list[bytes]]  # encoded keys, encoded values in order


class Trial:
    """What one task process does for one check."""

    def __init__(
        self, job: Job, spec: JobSpec, progress: ProgressReport, access: Access = AMBIENT
    ) -> None:
        self._job = job
        self._spec = spec
        self._progress = progress
        self._access = access  # opens the stores of inputs
        self._kept: dict[int, Groups] = {}  # split → groups of its pairs
        self._kept_bytes = 0
        self._attempt: TrialAttempt | None = None  # what is timed
        self._is_mapping = False

    def run(self, work: MapTrialWork | ReduceTrialWork) -> MapTrial | ReduceTrial:
        """Do one trial; those of splits come before that of groups.

        Raises:
            PymrError: as `_map` and `_reduce` say.
        """
        return self._map(work) if isinstance(work, MapTrialWork) else self._reduce(work)

    def _map(self, work: MapTrialWork) -> MapTrial:
        """Map one split.

        Raises:
            UserCodeError: the mapper raised; fields name the record.
            InputError: the input cannot be read as asked.
        """
        if not self._is_mapping:
            self._is_mapping = True
            self._call_hook("setup")
        recorder = _Recorder(self._job, self._spec, work, self._access)
        mapping = Mapping(self._job, self._spec, recorder, self._progress, self._access)
        with self._open(work) as reader:
            calls = _Calls(reader, work, recorder)
            mapping.call_mapper(calls, work.file)
            if work.shown_call is None:
                self._keep(work.number, recorder)
            # Afterwards: a mapper that emits without end has been refused.
            cpu_s = self._time(work) if work.is_timed else 0.0
            return MapTrial(
                calls=recorder.calls,
                records=reader.records_done,
                bytes_in=calls.bytes_in,
                bytes_read=reader.bytes_done,
                emitted=recorder.emitted,
                emitted_bytes=recorder.emitted_bytes,
                keys=len(recorder.groups),
                digests=bytes(recorder.digests),
                is_cut=calls.is_cut,
                examples=recorder.examples,
                difference=recorder.difference,
                cpu_s=cpu_s,
                rss_bytes_max=rss_bytes_max(),
            )

    def _reduce(self, work: ReduceTrialWork) -> ReduceTrial:
        """Look at the groups of all that was mapped, and reduce them.

        Raises:
            UserCodeError: the reducer or combiner raised; fields name the key.
        """
        if self._is_mapping:
            self._is_mapping = False
            self._call_hook("teardown")
        left = {} if self._attempt is None else self._attempt.finish()
        self._attempt = None
        groups: Groups = {}
        for number in sorted(self._kept):
            for key, values in self._kept[number].items():
                groups.setdefault(key, []).extend(values)
        self._call_hook("setup")
        ticker = Ticker(self._progress)
        trial = try_groups(self._job, self._spec, groups, work, ticker, is_cut=self._is_full)
        self._call_hook("teardown")
        return msgspec.structs.replace(trial, **left)

    def _time(self, work: MapTrialWork) -> float:
        """Map a split as an attempt does, and return the seconds of CPU that it took."""
        if self._attempt is None:
            self._attempt = TrialAttempt(self._job, self._spec, work.tmp)
        began = time.process_time()
        with self._open(work) as reader:
            mapping = Mapping(
                self._job, self._spec, self._attempt.sink, self._progress, self._access
            )
            mapping.call_mapper(_Calls(reader, work), work.file)
        return round(time.process_time() - began, 6)

    def _open(self, work: MapTrialWork) -> SplitReader:
        spec = self._spec
        return open_split(
            work.file,
            work.split,
            input_format=spec.shape.input_format,
            rules=spec.text,
            limits=spec.limits,
            access=self._access,
        )

    @property
    def _is_full(self) -> bool:
        return self._kept_bytes > TRIAL_BYTES_MAX

    def _keep(self, number: int, recorder: _Recorder) -> None:
        if not self._is_full:
            self._kept_bytes += recorder.emitted_bytes
            self._kept[number] = recorder.groups

    def _call_hook(self, name: str) -> None:
        sink = checking_sink(self._job, self._spec)
        call_hook(self._job, name, TaskContext(sink.emit, self._spec.params))


class _Calls:
    """The calls of a split, up to the limits of a trial."""

    def __init__(
        self, reader: SplitReader, work: MapTrialWork, recorder: _Recorder | None = None
    ) -> None:
        self.is_cut = False
        self.calls = 0
        self._reader = reader
        self._work = work
        self._recorder = recorder
        self._first: int | None = None
        self._end = work.split.start
        self._until = time.monotonic() + work.seconds_max

    @property
    def bytes_in(self) -> int:
        """The bytes of the calls, decoded."""
        return self._end - (self._first or 0)

    @property
    def bytes_done(self) -> int:
        """The bytes of the file that were read."""
        return self._reader.bytes_done

    @property
    def records_done(self) -> int:
        """The records that were read."""
        return self._reader.records_done

    def __iter__(self) -> Iterator[Call]:
        """Yield the calls; what the recorder is told lies around each of them."""
        for offset, data in self._reader:
            if self._first is None:
                self._first = offset
            if self._is_over(offset):
                self._end, self.is_cut = offset, True
                return
            if self._recorder is None:
                yield offset, data
            elif self._recorder.begin(self.calls, offset):
                yield offset, data
                self._recorder.end(self.calls, offset, data)
            self.calls += 1
            self._end = offset + _size_of(data)
        if not self._work.file.stream:
            self._first, self._end = self._work.split.start, self._work.split.end

    def _is_over(self, offset: int) -> bool:
        work = self._work
        return (
            self.calls == work.calls_max
            or (self.calls > 0 and time.monotonic() > self._until)
            or (work.file.stream and offset >= work.cells_max * work.file.step)
        )


def _size_of(data: str | bytes) -> int:
    """Return about how many bytes a call had: the one behind a line is not in it."""
    return len(data.encode(errors="replace")) if isinstance(data, str) else len(data)


class _Recorder:
    """Takes what a mapper emits: a digest of each call, and the pairs by key."""

    def __init__(self, job: Job, spec: JobSpec, work: MapTrialWork, access: Access) -> None:
        self.calls = self.emitted = self.emitted_bytes = 0
        self.groups: Groups = {}
        self.digests = bytearray()
        self.difference: Difference | None = None
        self.examples: tuple[str, ...] = ()
        self._work = work
        self._spec = spec
        self._access = access
        self._take = checking_sink(job, spec).emit
        self._normalize = spec.text.normalize
        self._one = encode_value(1) if spec.shape.reducer == "count" else None
        self._pairs: list[bytes] = []  # of the call: key, value, key, value …
        self._shown: list[str] = []
        self._offset = 0

    def emit(self, key: Any, value: Any) -> None:
        """Take one pair, as an attempt would."""
        self._take(key, value)
        if self._normalize is not None:
            key = normalized(self._normalize, key)
        if len(self._shown) < PAIRS_SHOWN:
            self._shown.append(show_pair(key, value))
        encoded = encode_key(key), self._one or encode_value(value)
        self._pairs += encoded
        self.emitted_bytes += len(encoded[0]) + len(encoded[1])
        if self.emitted_bytes > TRIAL_BYTES_MAX:
            # Of ours, so that nobody looks for one line of a chunk that does it too.
            raise UserCodeError(
                f"the mapper emitted more than {TRIAL_BYTES_MAX >> 20} MiB for one place of the"
                " sample",
                function="mapper",
                input=show_path(self._work.file.name),
                offset=self._offset,
            )

    def begin(self, call: int, offset: int) -> bool:
        """Say whether the call is to be made."""
        self._pairs, self._shown, self._offset = [], [], offset
        return self._work.shown_call in (None, call)

    def end(self, call: int, offset: int, data: str | bytes) -> None:
        """Take note of the end of a call."""
        pairs = self._pairs
        self.examples = self.examples or tuple(self._shown)
        self.calls += 1
        self.emitted += len(pairs) // 2
        body = b"".join(pairs)
        digest = xxh3_64(body + b"%d" % len(pairs)).to_bytes(DIGEST_BYTES, "little")
        self.digests += digest
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.groups.setdefault(key, []).append(value)
        if self._differs(call, digest):
            where = self._where(offset, data)
            self.difference = Difference(number=call, where=where, pairs=tuple(self._shown))

    def _differs(self, call: int, digest: bytes) -> bool:
        if self._work.shown_call is not None:
            return True
        known = self._work.expected[call * DIGEST_BYTES :][:DIGEST_BYTES]
        return self.difference is None and bool(known) and known != digest

    def _where(self, offset: int, data: str | bytes) -> str:
        name = show_path(self._work.file.name)
        if self._spec.shape.input_format == "whole":
            return name
        line = line_number(self._work.file, offset, self._spec.text, self._access)
        place = f"line {line} (byte {offset})" if line is not None else f"byte {offset}"
        return f'{name}  {place}:  "{show_record(data)}"'


def show_pair(key: Any, value: Any) -> str:
    """Return a pair for people."""
    return f"{short_repr(key)}  {short_repr(value)}"
