"""A map attempt in two passes, for a task whose mapper has raised for a record.

    scan    all calls, emitting nowhere: which records are bad is written down
    clean   the attempt itself: as any other, but that it does not see those records

So no pair of a call that fails gets into the output, and nothing that it counted. A bad chunk of
text is fed again line by line; its good lines stay, as the stretches of the file that they are,
each with a call of its own. `setup` and `teardown` are called in each pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from pymr.core.bad_records import refuse_number
from pymr.core.spec import Attempt, InputFile, MapWork, Split, SplitReceipt
from pymr.errors import PymrError
from pymr.records.split_reader import Call, LineNumbers, SplitReader, lines_in
from pymr.store.base import ObjectWriter
from pymr.task import forked
from pymr.task.attempt import AttemptContext
from pymr.task.bad_record import BadRecordWriter, Place, bad_record
from pymr.task.hung import HungError
from pymr.task.map_attempt import Calls, Mapping, NewMapping, OtherCalls, Sink, checking_sink

EXAMPLES_MAX = 20  # of bad records in the error that ends a run: it stands in the history
# Beyond the limit, only to tell how many fail: a run that fails need not fail at its end.
SCANNED_BEYOND_MAX = 1000

BadOffsets = dict[int, set[int]]  # offsets of calls that fail: those of the bad records in them


def leave_out_bad_records(
    context: AttemptContext, work: MapWork, writer: ObjectWriter
) -> tuple[BadRecordWriter, NewMapping]:
    """Call the mapper with all records, and write those for which it raises.

    Returns what was written, `finish` of which is left to do, and the mapping without them.

    Raises:
        BadRecordsError: they are more than the whole run may leave out.
        UserCodeError: a chunk of which no line alone fails, or `setup` or `teardown`.
    """
    out = BadRecordWriter(writer, EXAMPLES_MAX)
    scan = _Scan(context, out)
    scan.call_hook("setup")
    found = [scan.find(work.inputs[split.input], split) for split in work.splits]
    scan.call_hook("teardown")
    scan.refuse_too_many()
    return out, partial(CleanMapping, context, found)


class _Scan(Mapping):
    """Calls that emit nowhere, and what they raise."""

    def __init__(self, context: AttemptContext, out: BadRecordWriter) -> None:
        job, spec = context.job, context.spec
        sink = checking_sink(job, spec, combines=False)
        super().__init__(job, spec, sink, context.progress, context.access)
        self._attempt: Attempt = context.attempt.attempt
        self._out = out
        self._seen = 0  # records so far
        self._found: BadOffsets = {}
        self._numbers: LineNumbers | None = None  # of the split that is read

    def find(self, file: InputFile, split: Split) -> BadOffsets:
        """Return the bad records of a split."""
        self._found = {}
        with LineNumbers(file, self._spec.text, self._access) as numbers:
            self._numbers = numbers
            self.run_split(file, split)
        return self._found

    def refuse_too_many(self) -> None:
        """Raise if there are more than the whole run may leave out."""
        out = self._out
        if out.count:
            examples = msgspec.to_builtins(out.examples)
            refuse_number(self._spec, out.count, self._seen, out.error, *examples)

    def _calls_of(self, reader: SplitReader, file: InputFile) -> Calls:
        return OtherCalls(reader, self._counted(reader))

    def _counted(self, calls: Iterable[Call]) -> Iterator[Call]:
        is_text = self._spec.shape.input_format == "text"
        for offset, data in calls:
            self._seen += _lines(data) if is_text and isinstance(data, str) else 1
            yield offset, data

    def _refuse(
        self, error: BaseException, file: InputFile, offset: int, data: str | bytes
    ) -> None:
        """Take note of the bad records of a call that has raised `error`."""
        if isinstance(error, PymrError):  # No space, or the like: not the record's fault.
            raise error
        if isinstance(error, (MemoryError, HungError)):  # Another machine might bear it.
            super()._refuse(error, file, offset, data)
        if self._spec.shape.input_format != "text":
            self._note(file, offset, data, error)
            self._found[offset] = {offset}
            return
        lines = self.lines_of(self._ctx, file, offset, data)
        bad = {at for at, line in lines if self._is_bad(file, at, line)}
        if not bad:
            super()._refuse(error, file, offset, data)
        self._found[offset] = bad

    def _is_bad(self, file: InputFile, offset: int, line: str | bytes) -> bool:
        try:
            self.call_with(self._ctx, line)
        except (PymrError, MemoryError, HungError):
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            forked.leave()
            self._note(file, offset, line, error)
            return True
        forked.leave()
        return False

    def _note(self, file: InputFile, offset: int, data: str | bytes, error: BaseException) -> None:
        line = None
        if self._spec.shape.input_format != "whole" and self._numbers is not None:
            line = self._numbers.at(offset)
        place = Place(file, line, offset)
        self._out.add(bad_record(str(self._attempt), place, data, error))
        if self._out.count > self._spec.skip.records_max + SCANNED_BEYOND_MAX:
            self.refuse_too_many()


class CleanMapping(Mapping):
    """The calls of an attempt without the records that are known to be bad."""

    def __init__(self, context: AttemptContext, found: Iterable[BadOffsets], sink: Sink) -> None:
        super().__init__(context.job, context.spec, sink, context.progress, context.access)
        self._splits = iter(found)
        self._bad: BadOffsets = {}
        self._left_out = 0

    def run_split(self, file: InputFile, split: Split) -> SplitReceipt:
        """Call the mapper on what is good in the next split."""
        self._bad, self._left_out = next(self._splits), 0
        receipt = super().run_split(file, split)
        return msgspec.structs.replace(receipt, bad_records=self._left_out)

    def _calls_of(self, reader: SplitReader, file: InputFile) -> Calls:
        return OtherCalls(reader, self._good(reader, file)) if self._bad else reader

    def _good(self, calls: Iterable[Call], file: InputFile) -> Iterator[Call]:
        is_text = self._spec.shape.input_format == "text"
        for offset, data in calls:
            bad = self._bad.get(offset)
            if bad is None:
                yield offset, data
            elif is_text:
                lines = lines_in(data, offset, file, self._spec.text, self._access)
                yield from self._stretches(lines, bad)
            else:
                self._left_out += 1

    def _stretches(self, lines: Iterable[Call], bad: set[int]) -> Iterator[Call]:
        """Yield the longest stretches of good lines."""
        begin = 0
        good: list[str] = []
        for offset, line in lines:
            if offset in bad:
                self._left_out += 1
                if good:
                    yield begin, "".join(good)
                good.clear()
                continue
            assert isinstance(line, str), "a chunk is text"
            begin = begin if good else offset
            good.append(line)
        if good:
            yield begin, "".join(good)


def _lines(chunk: str) -> int:
    return chunk.count("\n") + (not chunk.endswith("\n"))
