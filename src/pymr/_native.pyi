"""The compiled part of PyMR (rust/src)."""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Self, TypeAlias, final

# Records, bytes, fingerprint, digest and size of a run that was written.
_Sealed: TypeAlias = tuple[int, int, int, int, int]
# Records, bytes and fingerprint read of counted runs; values that a combiner took and gave.
_Moved: TypeAlias = tuple[int, int, int, int, int]

__version__: str  # of the source that it was built from

def xxh3_64(data: bytes, seed: int = 0, /) -> int:
    """Return the 64-bit XXH3 hash of `data` with `seed`, of 64 bits."""

def xxh3_128(data: bytes, /) -> int:
    """Return the 128-bit XXH3 hash of `data`."""

def fingerprint_sum(key: bytes, values: list[bytes], /) -> int:
    """Return the sum of the fingerprints of `key` with each of `values`, modulo 2**128."""

def count_newlines(data: bytes, /) -> int:
    r"""Return the number of `\n` in `data`."""

def line_offsets(offset: int, data: bytes, /) -> list[int]:
    r"""Return `offset`, where `data` begins, and the offsets behind each `\n` in it."""

def encode_key(key: Any, /) -> bytes:
    """Return the bytes of `key`; their order is the key order.

    Raises:
        TypeError: `key` is not None, bool, int, float, str, bytes or a tuple of them.
        ValueError: its tuples are nested too deeply.
    """

def decode_key(data: bytes, /) -> Any:
    """Return the key whose bytes are `data`.

    Raises:
        CorruptDataError: `data` is not an encoded key.
    """

def encode_value(value: Any, /) -> bytes:
    """Return the bytes of `value`, which know their own end; `pymr.shuffle.value_codec` says how.

    Raises:
        TypeError: `value` cannot be pickled.
        ValueError: it is nested too deeply, or a container in it is 4 GiB or larger.
    """

def decode_value(data: bytes, /) -> Any:
    """Return the value whose bytes are `data`.

    Raises:
        CorruptDataError: `data` is not an encoded value.
    """

def unpack_block(data: bytes, /) -> bytes:
    """Return the bytes that a block of codec 1 was made of.

    Raises:
        CorruptDataError: `data` is no such block.
    """

class Emitter:
    """Has the `emit` that user functions call."""

    is_open: bool  # else `emit` calls `_refuse(key, value)` of the subclass

    def __new__(cls, target: Callable[[Any, Any], object]) -> Self:
        """`target` takes each pair; if it is the `emit` of a class here, without a detour."""

    def emit(self, key: Any, value: Any) -> None:
        """Send one pair on."""

@final
class CombinerOutput:
    """Takes what a combiner emits while it is called."""

    def __new__(cls, *, key_bytes_max: int, value_bytes_max: int) -> CombinerOutput:
        """Return an output for keys and values of at most so many encoded bytes."""

    def emit(self, key: Any, value: Any) -> None:
        """Take one pair.

        Raises:
            TypeError: `key` is no key, or `value` cannot be pickled.
            ValueError: `key` is not that of the group, or `value` is larger than its limit.
            RuntimeError: no combiner is called.
            ResourceError: no space is left where the groups go.
        """

@final
class FunctionCombiner:
    """A function of the user as combiner; `pymr.shuffle.combine.UserCombiner` has its parts."""

    def __new__(
        cls,
        *,
        output: CombinerOutput,
        function: Callable[[Any, Any, Any], Any],
        context: Any,
        emit_all: Callable[[Any], None],
        settle: Callable[[], None],
        blame: Callable[[BaseException, Any], NoReturn],
    ) -> FunctionCombiner:
        """Return a combiner that emits into `output`."""

class RecordBuffer:
    """Buffers the records of one thread; `pymr.shuffle.native_buffer` is its whole story.

    `emit` calls the method `_make_room` of a subclass when the buffer is full. `combine` is
    None, a function, or sum, count, min or max. `partition_of(key)` returns a partition that is
    one; `normalized(key)` what is grouped. With `boundaries`, encoded keys that ascend, partitions
    are the ranges between them, and there is no `partition_of`.
    """

    def __new__(
        cls,
        *,
        partitions: int,
        spill_bytes_max: int,
        block_bytes: int,
        key_bytes_max: int,
        value_bytes_max: int,
        spill_folder: str,
        combine: str | FunctionCombiner | None,
        partition_of: Callable[[Any], int] | None,
        normalized: Callable[[Any], Any] | None,
        count_only: bool,
        partition_seed: int = 0,
        boundaries: list[bytes] | None = None,
    ) -> Self:
        """Return a buffer for the calling thread."""

    def emit(self, key: Any, value: Any) -> None:
        """Take one record; see `pymr.shuffle.buffer.MapBuffer.emit`."""

    @property
    def emitted(self) -> int:
        """The records that were emitted."""

    @property
    def combined(self) -> tuple[int, int]:
        """Values that went into the combiner and came out, where records were written."""

    def spill(self) -> Run:
        """Write the records to a spill; the buffer is empty afterwards.

        Raises:
            ResourceError: no space is left.
        """

    def write(self, write: Callable[[bytes], object], extra: bytes) -> _Sealed:
        """Write the records as a whole run with `extra` in its footer, in pieces of about 1 MiB.

        The GIL is released but for the calls of `write`. The buffer is empty afterwards.
        """

    def close(self) -> None:
        """Take no more records; it may be called twice."""

    def check(self) -> None:
        """Raise the RuntimeError of another thread that has emitted, if one has."""

@final
class Run:
    """A sorted run that can be merged; a spill is removed with it."""

    def __new__(
        cls,
        name: str,
        footer: bytes,
        end: int,
        partition: int,
        read_at: Callable[[int, int], bytes],
        path: str | None = None,
    ) -> Run:
        """Return `partition` of a run, whose reading is counted.

        `footer` are the bytes that begin at `end`. `path` is a file with the run; what that does
        not give is asked of `read_at`.

        Raises:
            CorruptDataError: it is no footer, or not of that run.
        """

    @property
    def merge_bytes(self) -> int:
        """The memory that a merge needs of it, at the least."""

    def pieces(self, bytes_max: int, /) -> list[tuple[int, int]]:
        """Return where its blocks lie: offset and length of pieces.

        A piece is some neighbours, of `bytes_max` together, or one block.
        """

    def damage(self, offset: int, data: bytes, /) -> int | None:
        """Return where the first block lies that is not as it was written; None: all are.

        `data` is what was read of a piece, at `offset`.
        """

    def kept_in(self, folder: str, file: str, offset: int, at: int, /) -> Run:
        """Return the same run, whose bytes from `offset` on stand in a file from `at` on."""

    def remove(self) -> None:
        """Remove the file, if this is a spill; it may be called twice."""

def merge_to_spill(
    runs: list[Run],
    partitions: int,
    block_bytes: int,
    bytes_max: int,
    combine: str | FunctionCombiner | None,
    folder: str,
    /,
) -> tuple[Run, _Moved]:
    """Merge `runs`, in order, into a spill in `folder`; the GIL is released but for a function.

    About `bytes_max` of the runs are held in memory, or a block of each.

    Raises:
        ResourceError: no space is left.
        CorruptDataError: a run is not what was written.
    """

def merge_to_run(
    runs: list[Run],
    partitions: int,
    block_bytes: int,
    bytes_max: int,
    combine: str | FunctionCombiner | None,
    write: Callable[[bytes], object],
    extra: bytes,
    /,
) -> tuple[_Sealed, _Moved]:
    """Merge `runs`, in order, into the run that `write` is given, with `extra` in its footer.

    About `bytes_max` of the runs are held in memory, or a block of each.

    Raises:
        CorruptDataError: a run is not what was written.
    """

@final
class GroupMerge:
    """Iterates over (key, values)."""

    def __new__(
        cls,
        runs: list[Run],
        partition: int,
        bytes_max: int,
        on_tick: Callable[[int, int], object],
        at_end: Callable[[], object],
        blame: Callable[[BaseException, Any], NoReturn] | None = None,
    ) -> GroupMerge:
        """Return the merge of `partition` of `runs`, of which it holds about `bytes_max` in memory.

        `on_tick` is called every 64 groups with the bytes and records read so far, `at_end` behind
        the last. `blame(error, key)` raises for what a value of the last group raised.

        Raises:
            CorruptDataError: a run is not what was written.
        """

    def reduce_into(
        self, rows: RowWriter, reduce: str, fallback: Callable[[Any, Any], object]
    ) -> None:
        """Do all of it with a built-in; see `NativeReduceMerge.reduce_into`."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Return itself."""

    def __next__(self) -> tuple[Any, Any]:
        """Return the next group; the values of the last one can no longer be read.

        Raises:
            CorruptDataError: a run is not what was written.
            Exception: what reading values of the last group raised, if somebody hid that.
        """

    def close(self) -> None:
        """Let go of an error that somebody hid."""

    @property
    def read(self) -> tuple[int, int, int]:
        """Records, bytes and fingerprint of what was read of counted runs."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Groups, values in them, and values in the largest."""

    @property
    def largest_key(self) -> bytes | None:
        """The encoded key with the most values."""

@final
class GroupValues:
    """The values of one key: one pass, within its group."""

    def __iter__(self) -> Iterator[Any]:
        """Return the iterator; a second time is a RuntimeError."""

    def __next__(self) -> Any:
        """Return the next value."""

def footer_sums(name: str, data: bytes, end: int, /) -> tuple[list[tuple[int, int, int]], bytes]:
    """Return records, bytes and fingerprint of each partition, and what the writer added.

    `data` is the footer of the run `name`, whose blocks end at `end`.

    Raises:
        CorruptDataError: it is no footer, or not of that run.
    """

def die_with_parent() -> bool:
    """Ask the system to kill this process, and its group if it leads one, when its parent ends.

    False where it cannot.
    """

def adopt_orphans() -> bool:
    """Become the parent of processes that this one has started and whose own parent ends.

    False where that cannot be.
    """

def flush_c_streams() -> None:
    """Write what C code has printed and its library still holds."""

def keep_little_memory() -> None:
    """Have memory that is freed given back to the system soon; call it once, early."""

def trim_memory() -> None:
    """Give memory that is free back to the system."""

@final
class RowWriter:
    """Turns pairs into the rows of a part; `pymr.records.part` is its whole story."""

    def __new__(
        cls,
        output_format: str,
        make_row: Callable[[Any, Any], bytes],
        write: Callable[[bytes], None],
        /,
    ) -> RowWriter:
        """Return a writer of rows.

        `make_row` gives the bytes of a row with a cell that is not plain. `write` is given
        blocks of about 256 KiB, in order and never two at a time.

        Raises:
            ValueError: `output_format` is not `tsv` or `jsonl`.
        """

    def emit(self, key: Any, value: Any) -> None:
        """Append one row, or raise what `make_row` or `write` raise."""

    def emit_encoded(self, key: bytes, value: bytes, /) -> bool:
        """Append a row of an encoded key and value, without making them objects.

        False: they are not plain (or no key and value), nothing was done; decode and `emit`.
        """

    def finish(self) -> tuple[int, list[str], list[str]]:
        """Write what is left; return the number of rows and the types of the plain cells.

        No row is taken afterwards.

        Raises:
            RuntimeError: another thread is still emitting, or it was called before.
        """
