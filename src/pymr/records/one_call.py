"""Reads one call of a mapper again, by the offset that an error has named."""

from __future__ import annotations

from collections.abc import Iterator

from pymr.core.spec import InputFile, JobSpec, Split
from pymr.errors import InputError
from pymr.records.source import open_input
from pymr.records.split_reader import Call, lines_in, open_split
from pymr.store.access import AMBIENT, Access
from pymr.text_form import show_path

BACK_BYTES = 64 << 10  # read at a time on the way back to the start of a line


def read_call(file: InputFile, offset: int, spec: JobSpec, access: Access = AMBIENT) -> Call:
    """Return the call of the mapper in which the byte at `offset` lies.

    Reads one grid cell, or a stream up to there.

    Raises:
        InputError: the file has changed or cannot be read, or no call has that byte.
    """
    found: Call | None = None
    for call in _calls(file, _cell_of(file, offset, spec, access), spec, access):
        if call[0] > offset:
            break
        found = call
    if found is None:
        raise InputError(
            f"`{show_path(file.name)}` has no record at byte {offset}",
            input=show_path(file.name),
            offset=offset,
        )
    return found


def read_line(file: InputFile, offset: int, spec: JobSpec, access: Access = AMBIENT) -> Call:
    """Return the line of a text chunk that begins at `offset`, as the mapper alone is fed it.

    Raises:
        InputError: as `read_call`; also if no line begins there.
    """
    start, data = read_call(file, offset, spec, access)
    for line_offset, line in lines_in(data, start, file, spec.text, access):
        if line_offset == offset:
            return line_offset, line
    raise InputError(
        f"`{show_path(file.name)}` has no line that begins at byte {offset}",
        input=show_path(file.name),
        offset=offset,
    )


def first_call(
    files: dict[int, InputFile],
    splits: tuple[Split, ...],
    spec: JobSpec,
    access: Access = AMBIENT,
) -> tuple[InputFile, Call] | None:
    """Return the first call of a map task, and its file; None if it has none."""
    for split in splits:
        file = files[split.input]
        for call in _calls(file, split, spec, access):
            return file, call
    return None


def _calls(file: InputFile, split: Split, spec: JobSpec, access: Access) -> Iterator[Call]:
    with open_split(
        file,
        split,
        input_format=spec.shape.input_format,
        rules=spec.text,
        limits=spec.limits,
        access=access,
    ) as reader:
        yield from reader


def _cell_of(file: InputFile, offset: int, spec: JobSpec, access: Access) -> Split:
    """Return the grid cell of `offset`, or what must be read to get there."""
    if file.stream or spec.shape.input_format == "whole":
        return Split(0, 0, file.size)
    start = _line_start(file, offset, access) // file.step * file.step
    return Split(0, start, min(start + file.step, file.size))


def _line_start(file: InputFile, offset: int, access: Access) -> int:
    """Return where the line begins that has the byte at `offset`."""
    with open_input(file, access) as source:
        end = min(offset, file.size)
        while end > 0:
            start = max(end - BACK_BYTES, 0)
            newline = source.read_at(start, end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0
