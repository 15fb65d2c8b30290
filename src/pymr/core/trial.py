"""What `pymr check` has a task process do with a sample of the input, and what that found out.

A trial is a part of the job that is done to see how it behaves: user code is called as in an
attempt, and nothing is written. Plain structs: they travel over pipes.
"""

from __future__ import annotations

import msgspec

from pymr.core.spec import InputFile, Split


class MapTrialWork(msgspec.Struct, frozen=True, kw_only=True, tag="map"):
    """One split of the sample.

    With `shown_call` that call alone is made, and what it emitted is the `difference`.
    """

    number: int  # of the split in the sample, in input order
    split: Split
    file: InputFile
    tmp: str  # an absolute path for spills
    cells_max: int  # of a stream, from its front
    calls_max: int  # of the mapper
    seconds_max: float  # no call begins after that much time
    is_timed: bool = False  # map it once more before, as an attempt would
    expected: bytes = b""  # the digests that another process had
    shown_call: int | None = None


class ReduceTrialWork(msgspec.Struct, frozen=True, kw_only=True, tag="reduce"):
    """The groups of all that was emitted, in key order; `shown_group` as `shown_call`."""

    groups_max: int
    seconds_max: float
    expected: bytes = b""
    shown_group: int | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A call that did not emit what it did in another process."""

    number: int  # of the call, or of the group
    where: str  # the record or the key, for people
    pairs: tuple[str, ...]  # what it emitted here, the first of them


class MapTrial(msgspec.Struct, frozen=True, kw_only=True, tag="map"):
    """What the mapper did with one split."""

    calls: int
    records: int  # of the input
    bytes_in: int  # of the calls, decoded
    bytes_read: int  # of the file for them
    emitted: int
    emitted_bytes: int  # of encoded keys and values
    keys: int  # different ones
    digests: bytes  # 8 of each call
    is_cut: bool  # by a limit
    examples: tuple[str, ...] = ()  # of pairs, the first
    difference: Difference | None = None
    cpu_s: float = 0.0  # of the pass that an attempt would make; 0 where there was none
    rss_bytes_max: int = 0


class Kind(msgspec.Struct, frozen=True):
    """A type of keys or values that were emitted."""

    name: str
    count: int
    example: str


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the result depends on how values are combined.

    `verdict`: `holds`; `close` if floats differ in their last digits only; `broken`; or
    `stateful` if the reducer alone gives different results for the same values.
    """

    verdict: str
    keys: int  # that were looked at
    key: str = ""  # with which it is not `holds`
    grouping: str = ""
    plain: tuple[str, ...] = ()  # the result without a combiner
    combined: tuple[str, ...] = ()


class ReduceTrial(msgspec.Struct, frozen=True, kw_only=True, tag="reduce"):
    """What is in the groups of the sample, and what the reducer did with them."""

    pairs: int
    keys: int
    is_cut: bool  # more was emitted than is kept
    key_kinds: tuple[Kind, ...]  # of different keys
    value_kinds: tuple[Kind, ...]
    pickled: tuple[Kind, ...]  # types of values without a form of their own
    largest: tuple[Kind, ...]  # keys with the most values
    # Of what an attempt that mapped the whole sample would leave; 0 where none was timed.
    written: int = 0  # records that the combiner left
    written_bytes: int = 0
    stored_bytes: int = 0  # of the sorted run or part
    sort_s: float = 0.0
    partition: int = 0  # with the most values
    partition_values: int = 0
    calls: int = 0  # of the reducer
    values: int = 0  # given to it
    unread_calls: int = 0  # that did not look at one
    rows: int = 0
    row_bytes: int = 0
    examples: tuple[str, ...] = ()  # of rows
    cpu_s: float = 0.0
    digests: bytes = b""
    difference: Difference | None = None
    law: Law | None = None
