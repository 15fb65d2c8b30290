"""Maps a sample of the input ahead of a run with `--sort`, for its keys alone.

    splits of the sample ─► mapper ─► keys, some of them ─► encoded keys with weights

Laws: what is kept of a split depends on the split and the mapper alone; at most a bounded number
of keys is kept, whatever the mapper emits. Nothing is written, and what is counted is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pymr._native import encode_key, xxh3_64
from pymr.api import Job
from pymr.core.sample import SAMPLE_KEY_BYTES_MAX, WEIGHT_OF_RECORD
from pymr.core.spec import InputFile, JobSpec, KeySample, SampleSplit, SampleWork, Split
from pymr.errors import PymrError
from pymr.records.compression import DecodedStream
from pymr.records.source import open_input
from pymr.records.split_reader import Call, SplitReader, open_split
from pymr.shuffle.distinct_keys import DistinctKeys
from pymr.shuffle.normal_form import normalized
from pymr.store.access import AMBIENT, Access
from pymr.task.hung import HungError
from pymr.task.map_attempt import Mapping, OtherCalls

# What is decoded of a stream, which can be read from its front only: to learn how long it is, and
# again to map some of its cells.
STREAM_PLACE_BYTES_MAX = 8 << 20  # for each place that was chosen in it …
STREAM_BYTES_MAX = 256 << 20  # … and in all
PENDING_KEYS_MAX = 50_000  # of a split, in front of those that are kept

_HASHES = 1 << 64
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio


def sample_keys(job: Job, spec: JobSpec, work: SampleWork, access: Access = AMBIENT) -> KeySample:
    """Return some keys that the mapper emits for `work`, each with its weight.

    Raises:
        UserCodeError: the user's code raised; fields name the record.
        InputError: the input cannot be read as asked.
    """
    kept = DistinctKeys(work.keys_max)
    is_combined = work.keys_max is not None
    taken = (_KeysOfGroups if is_combined else _KeysOfRecords)(kept, spec.text.normalize)
    new_mapping = _BearingMapping if spec.skip.records_max else Mapping
    mapping = new_mapping(job, spec, taken, access=access)
    mapping.call_hook("setup")
    for sampled in work.splits:
        file = work.inputs[sampled.split.input]
        if sampled.places:
            cells = _cells_of(file, spec, sampled, access)
            taken.begin(sampled, _weight(cells.stands_for, cells.bytes))
            _map_cells(mapping, spec, file, cells, access)
        else:
            split = sampled.split
            taken.begin(sampled, _weight(sampled.stands_for, split.end - split.start))
            mapping.run_split(file, split)
        taken.end()
    mapping.call_hook("teardown")
    return KeySample(tuple(kept.weights.items()), kept.halvings, taken.emitted)


class _BearingMapping(Mapping):
    """Goes on where the mapper raises for a record that the run may leave out."""

    def _refuse(
        self, error: BaseException, file: InputFile, offset: int, data: str | bytes
    ) -> None:
        if isinstance(error, PymrError):
            raise error
        if isinstance(error, HungError):
            super()._refuse(error, file, offset, data)


def _weight(stands_for: int, mapped: int) -> int:
    """Return the weight of a record from `mapped` bytes that stand for others."""
    return max(1, stands_for * WEIGHT_OF_RECORD // max(mapped, 1))


class _KeysOfRecords:
    """Takes the keys of records: of a split all, or one of so many.

    Which ones is decided by where multiples of the golden ratio lie: evenly spread among all that
    are emitted, and among each second, third, … of them, so that a mapper which emits two kinds of
    keys in turn is sampled for both (D. E. Knuth, TAOCP 3, 6.4, on multiplicative hashing).
    """

    def __init__(self, kept: DistinctKeys, normalize: str | None) -> None:
        self.emitted = 0  # of all splits
        self._kept = kept
        self._normalize = normalize
        self._taken: list[tuple[int, bytes]] = []
        self._taken_max = self._weight = 0
        self._hash = self._below = 0

    def begin(self, sampled: SampleSplit, weight: int) -> None:
        """Begin a split of which each record has `weight`."""
        split = sampled.split
        self._taken = []
        self._taken_max, self._weight = sampled.keys_max, weight
        self._hash, self._below = xxh3_64(b"%d %d" % (split.input, split.start)), _HASHES

    def emit(self, key: Any, _value: Any) -> None:
        """Take the key, or not."""
        self.emitted += 1
        self._hash = (self._hash + _GOLDEN) % _HASHES
        if self._hash >= self._below:
            return
        self._taken.append((self._hash, _encoded(key, self._normalize)))
        while len(self._taken) > self._taken_max:
            self._below //= 2
            self._weight *= 2
            self._taken = [taken for taken in self._taken if taken[0] < self._below]

    def end(self) -> None:
        """Keep what was taken of the split."""
        for _, key in self._taken:
            self._kept.add(key, self._weight)


class _KeysOfGroups:
    """Takes all records of some keys: how often a key comes says what combining leaves of it."""

    def __init__(self, kept: DistinctKeys, normalize: str | None) -> None:
        self.emitted = 0  # of all splits
        self._kept = kept
        self._normalize = normalize
        self._weight = 0
        self._counts: dict[str | bytes, int] = {}  # bytes: encoded keys that were no exact str

    def begin(self, _sampled: SampleSplit, weight: int) -> None:
        """Begin a split of which each record has `weight`."""
        self._weight = weight

    def emit(self, key: Any, _value: Any) -> None:
        """Count the key."""
        self.emitted += 1
        if type(key) is not str:
            key = _encoded(key, self._normalize)
        counts = self._counts
        counts[key] = counts.get(key, 0) + 1
        if len(counts) > PENDING_KEYS_MAX:
            self.end()

    def end(self) -> None:
        """Keep what was counted."""
        for key, count in self._counts.items():
            data = key if type(key) is bytes else _encoded(key, self._normalize)
            self._kept.add(data, count * self._weight)
        self._counts.clear()


def _encoded(key: Any, normalize: str | None) -> bytes:
    if normalize is not None:
        key = normalized(normalize, key)
    return encode_key(key)[:SAMPLE_KEY_BYTES_MAX]


class _Cells(NamedTuple):
    """Cells of a stream, how many bytes are in them and how many they stand for, all decoded."""

    split: Split
    numbers: set[int]
    bytes: int
    stands_for: int


def _cells_of(file: InputFile, spec: JobSpec, sampled: SampleSplit, access: Access) -> _Cells:
    """Return the cells that are as far along the front of a stream as places are on the disk."""
    length_max = min(len(sampled.places) * STREAM_PLACE_BYTES_MAX, STREAM_BYTES_MAX)
    length, data = 0, b"some"
    with open_input(file, access) as source:
        source.expect(0, file.size)
        stream = DecodedStream(source, spec.text, spec.limits.expansion_max)
        while data and length < length_max:
            data = stream.read(spec.limits.read_bytes)
            length += len(data)
        stands_for = sampled.stands_for * length // max(stream.raw.bytes_read, 1)
    step = file.step
    if data:
        length -= length % step  # The last cell goes on.
    numbers = {place * length // file.size // step for place in sampled.places}
    size = sum(min(step, length - number * step) for number in numbers)
    return _Cells(sampled.split, numbers, size, stands_for)


def _map_cells(
    mapping: Mapping, spec: JobSpec, file: InputFile, cells: _Cells, access: Access
) -> None:
    with open_split(
        file,
        cells.split,
        input_format=spec.shape.input_format,
        rules=spec.text,
        limits=spec.limits,
        access=access,
    ) as reader:
        calls = OtherCalls(reader, _some(reader, cells.numbers, file.step))
        mapping.call_mapper(calls, file)


def _some(reader: SplitReader, cells: set[int], step: int) -> Iterator[Call]:
    """Yield the calls of a stream that begin in some of its grid cells, up to the last of them."""
    last = max(cells)
    for offset, data in reader:
        cell = offset // step
        if cell in cells:
            yield offset, data
        elif cell > last:
            return
