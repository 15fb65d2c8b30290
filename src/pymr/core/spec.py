"""The frozen description of a run, its tasks and its attempts, and what an attempt reports.

Plain structs, no behaviour: they travel over pipes and stand in the journal and the manifest,
always as JSON (MessagePack has no ints over 64 bits, and fingerprints have 128). Bytes paths
are `os.fsencode`d; sizes and offsets are bytes.

`gc=False` where there are very many: no cycle goes through them, and a master that holds a million
spends half of its time in the collector otherwise (`benchmarks/scheduler.py`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

PhaseName = Literal["map", "reduce"]


class Attempt(msgspec.Struct, frozen=True, order=True, gc=False):
    """One try at a task; `number` starts at 1 and is never reused."""

    phase: PhaseName
    task: int
    number: int

    def __str__(self) -> str:
        return f"{self.phase}-{self.task:04d}"


class InputFile(msgspec.Struct, frozen=True):
    """One input as it was when the run was planned."""

    path: bytes  # as given or found; b"-" when standard input was spooled (see `spool`)
    size: int  # bytes on disk, compressed if it is
    step: int  # grid step in bytes (`grid_step`); decoded bytes where `stream`
    stream: bool = False  # read from the start in one task: compressed, or transcoded
    compression: str | None = None  # None, "gzip", "bz2", "xz", "zstd"
    mtime_ns: int = 0
    inode: int = 0
    spool: bytes | None = None  # where the bytes really are, if not at `path`
    etag: str | None = None  # of an object, whose address `path` is: an opaque version
    shown: bytes | None = None  # what the user calls it, if not `path`: it was uploaded

    @property
    def name(self) -> bytes:
        """What the user calls it."""
        return self.path if self.shown is None else self.shown


class Split(msgspec.Struct, frozen=True, gc=False):
    """The cells [start, end) of one input; for a stream, start is 0 and end is its size."""

    input: int  # index into the inputs of the run
    start: int
    end: int


class MapTask(msgspec.Struct, frozen=True, gc=False):
    """Splits that are neighbours in input order; `index` is input order too."""

    index: int
    splits: tuple[Split, ...]

    @property
    def size(self) -> int:
        """The bytes to read."""
        return sum(split.end - split.start for split in self.splits)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that decide where a re-run spills and combines: frozen with the run."""

    spill_bytes_max: int = 64 << 20  # encoded bytes of a map-side buffer
    merge_fan_in_max: int = 64  # sorted runs merged at once
    merge_bytes_max: int = 24 << 20  # of all of them, in memory
    block_bytes: int = 128 << 10  # raw bytes of a sorted run's block
    record_bytes_max: int = 64 << 20  # --max-record
    expansion_max: int = 200  # decoded bytes for each byte of a compressed input
    key_bytes_max: int = 1 << 20
    value_bytes_max: int = 64 << 20
    read_bytes: int = 256 << 10  # one pread: from 1 MiB on the kernel clears new pages each time


class TextRules(msgspec.Struct, frozen=True, kw_only=True):
    """How bytes become text."""

    encoding: str = "utf-8"  # the one name that `config` gives it
    errors: str = "strict"  # strict | replace | surrogateescape | skip (the line is left out)
    newline: str = "auto"  # auto: LINES strips one \r; lf: keeps it
    long_records: str = "refuse"  # refuse | skip
    normalize: str | None = None  # NFC, NFD, NFKC, NFKD for str keys


class SkipRules(msgspec.Struct, frozen=True, kw_only=True):
    """How many bad records, those the mapper raises for, may be left out of a run."""

    records_max: int = 0  # in all tasks together; 0: the first bad record fails the run
    ratio_max: float = 0.01  # of all records (`core.bad_records`)


class Stored(msgspec.Struct, frozen=True):
    """An object of the run's store, used only if its SHA-256 is `sha256` (hex)."""

    key: str
    size: int
    sha256: str


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task process finds the user's functions.

    Either `path` of a worker file, or `pickle`: a cloudpickled Job, used only if its
    SHA-256 is `digest`. For other machines `bundle` is an object with either (`task.bundle`);
    `path` is that of the worker file where the run was submitted, `folder` where this machine
    has its files.
    """

    path: str | None = None
    bundle: Stored | None = None
    folder: str | None = None
    pickle: bytes | None = None
    digest: str | None = None  # of the file and its neighbours, or of the pickle
    sys_path: tuple[str, ...] = ()  # the caller's, for modules that travel by name


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What the first task process found in the user's code."""

    input_format: str  # text | lines | whole
    reducer: str | None  # None, "function", "sum", "min", "max", "count", "identity"
    combiner: str | None  # None, "function", "sum", "min", "max"
    partitioner: str | None = None  # None, "function"
    digest: str  # sha256 hex over worker.py and the modules beside it
    files: tuple[str, ...] = ()  # worker.py and its neighbours, relative names
    warnings: tuple[str, ...] = ()


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run that its tasks need; first record of the journal."""

    v: int = 1
    run: str
    name: str
    worker: str  # for people: `worker.py`, or `mapper` of a script
    shape: Shape
    reducers: int  # partitions; 0 for a map-only job
    partition_seed: int = 0  # of the hash that gives a key its partition
    # With --sort, instead: the first encoded key of each partition but the first, ascending.
    boundaries: tuple[bytes, ...] | None = None
    output_format: str = "tsv"
    params: dict[str, str] = {}
    text: TextRules = TextRules()
    limits: Limits = Limits()
    skip: SkipRules = SkipRules()


class MapSource(msgspec.Struct, frozen=True, gc=False):
    """A committed map output, as a reduce task reads it."""

    task: int
    key: str  # object key
    footer_digest: str  # xxh3_128 hex of the footer, as committed
    size: int  # of the object


class MapWork(msgspec.Struct, frozen=True, tag="map"):
    """What a map attempt does: read `splits` of `inputs`."""

    splits: tuple[Split, ...]
    inputs: dict[int, InputFile]  # those the splits name
    bad_key: str | None = None  # look for bad records, leave them out, and write them there


class ReduceWork(msgspec.Struct, frozen=True, tag="reduce"):
    """What a reduce attempt does: merge `partition` of `sources`, in this order.

    They are the same for all reduce tasks; `Stored` is an object with the list as JSON.
    """

    partition: int
    sources: tuple[MapSource, ...] | Stored


class AttemptSpec(msgspec.Struct, frozen=True):
    """One attempt: the argument of `run_attempt`, with the job and a store."""

    attempt: Attempt
    key: str  # the one object it writes
    tmp: str  # an absolute path or key prefix for spills; removed by who gave it
    work: MapWork | ReduceWork


class SampleSplit(msgspec.Struct, frozen=True):
    """A split that is mapped to learn its keys, and nothing else."""

    split: Split
    stands_for: int  # bytes of input that it is an example of
    keys_max: int  # that are kept of it, where they are not combined
    places: tuple[int, ...] = ()  # of a stream: offsets on the disk of which cells are mapped


class SampleWork(msgspec.Struct, frozen=True):
    """Splits of a sample, which one task process maps."""

    splits: tuple[SampleSplit, ...]
    inputs: dict[int, InputFile]  # those the splits name
    keys_max: int | None  # different ones that are kept, where they are combined


class KeySample(msgspec.Struct, frozen=True):
    """What the keys of some splits say about those of the input."""

    weights: tuple[tuple[bytes, int], ...]  # encoded keys; `core.sample.WEIGHT_OF_RECORD` each
    halvings: int  # of the different keys half were kept, so many times
    emitted: int  # pairs, also those of which the key was not kept


class EdgeSum(msgspec.Struct, frozen=True, gc=False):
    """What crossed one shuffle edge, or many added up."""

    records: int = 0
    bytes: int = 0  # encoded keys and values
    fingerprint: int = 0  # Σ xxh3_128(record) mod 2**128

    def __add__(self, other: EdgeSum) -> EdgeSum:
        return EdgeSum(
            self.records + other.records,
            self.bytes + other.bytes,
            (self.fingerprint + other.fingerprint) % (1 << 128),
        )


class SplitReceipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was read of one split."""

    input: int
    start: int
    end: int
    bytes: int  # of the range, really read
    records: int
    first_offset: int | None = None  # of the first and last record that lie in it
    last_offset: int | None = None
    digest: int = 0  # Σ over cells of xxh3_128(cell offset, cell bytes) mod 2**128
    carriage_returns: int = 0  # \r stripped from lines
    replaced: int = 0  # records with bytes that are not text, replaced
    skipped: int = 0  # records left out by --errors skip or --long-records skip
    bad_records: int = 0  # of `records`, those that the mapper did not get since it raises for them
    grown: bool = False  # the file had become longer; what was added was not read


class BadObject(msgspec.Struct, frozen=True, kw_only=True):
    """The object with the bad records of an attempt, one line of JSON each."""

    key: str
    size: int
    sha256: str
    error: str  # what most of them raise, for people


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an attempt did: the manifest of its one object. Stands in the journal.

    A map attempt's sums per partition and receipts per split stand in the footer of its
    object, bound by `footer_digest`; here are their totals only.
    """

    attempt: Attempt
    key: str
    size: int  # of the object
    sha256: str | None = None  # of a part
    footer_digest: str | None = None  # of a map output
    code_digest: str
    bytes_in: int = 0  # of input read (map)
    records_in: int = 0  # records of input (map)
    calls: int = 0  # of the mapper or reducer
    groups: int = 0  # keys that the reduce side merged
    emitted: int = 0  # pairs the mapper emitted
    combined_in: int = 0
    combined_out: int = 0
    written: EdgeSum = EdgeSum()  # map side, all partitions
    read: EdgeSum = EdgeSum()  # reduce side
    reduced: int = 0  # values that reached the reducer's groups
    records_out: int = 0  # rows of a part
    bytes_out: int = 0
    key_type: str | None = None  # column types of a part; None: mixed or no rows
    value_type: str | None = None
    key_mixed: bool = False  # rows whose cells differ in type
    value_mixed: bool = False
    counters: dict[str, int] = {}
    carriage_returns: int = 0
    replaced: int = 0
    skipped: int = 0
    bad_records: int = 0
    bad_object: BadObject | None = None
    splits: tuple[SplitReceipt, ...] = ()  # of a map-only attempt: a part has no footer
    damaged_inputs: tuple[int, ...] = ()  # inputs with replaced or skipped records
    largest_group: int = 0  # records of the largest key
    largest_key: str | None = None  # its repr, at most 80 characters
    wall_s: float = 0.0
    cpu_s: float = 0.0
    spills: int = 0
    healed: int = 0  # reads of map outputs that were corrupt, and right when they were repeated
    rss_bytes_max: int = 0


class MapFooter(msgspec.Struct, frozen=True):
    """The part of a map output's footer that the books need."""

    partitions: tuple[EdgeSum, ...]
    splits: tuple[SplitReceipt, ...]
