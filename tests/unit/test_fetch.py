"""A partition is fetched from many runs at once, checked, and within its bounds."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from memory_runs import run_of
from pymr._native import encode_key, encode_value
from pymr.core.spec import Limits, MapSource
from pymr.errors import CorruptDataError, ObjectMissingError, ResourceError
from pymr.shuffle.fetch import FETCH_TAIL_BYTES, FETCH_TRIES_MAX, FETCHES_MAX, Fetched, fetch
from pymr.shuffle.native_merge import NativeReduceMerge
from pymr.store.object_store import ObstoreStore

Damage = Callable[[int, bytes], bytes]  # from the number of a read and what it read
Record = tuple[int, bytes, bytes]

LIMITS = Limits()


class Remote(ObstoreStore):
    """Map outputs in a store in memory, which knows what was read, and may read it wrong."""

    def __init__(self) -> None:
        from obstore.store import MemoryStore

        super().__init__(MemoryStore())
        self.sources: list[MapSource] = []
        self.reads: list[tuple[str, int, int]] = []
        self.damage: Damage = lambda _number, data: data
        self.before: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def add(self, records: Sequence[Record], partitions: int = 2, block_bytes: int = 100) -> None:
        """Add the output of one more map task."""
        task = len(self.sources)
        body, digest = run_of(records, partitions=partitions, block_bytes=block_bytes)
        self.replace(f"map-{task}", body)
        self.sources.append(MapSource(task, f"map-{task}", digest, len(body)))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return what was asked for, or what became of it on the way."""
        self.before()
        with self._lock:
            self.reads.append((key, start, length))
            number = len(self.reads)
        return self.damage(number, super().get_range(key, start, length))

    @property
    def bytes_read(self) -> int:
        """What was read in all."""
        return sum(length for _, _, length in self.reads)


def records(task: int, count: int, partitions: int = 2, value_bytes: int = 5) -> list[Record]:
    """Return records of a task, with as many in each partition."""
    value = encode_value(b"v" * value_bytes)
    return [
        (partition, encode_key((number, task)), value)
        for partition in range(partitions)
        for number in range(count)
    ]


def large_values(count: int, value_bytes: int) -> list[Record]:
    """Return records of partition 0, of a block each, and of one in partition 1."""
    value = encode_value(b"v" * value_bytes)
    return [*((0, encode_key(n), value) for n in range(count)), (1, encode_key(0), encode_value(1))]


def fetched(
    store: Remote, folder: Path, partition: int = 0, limits: Limits = LIMITS, **options: object
) -> Fetched:
    return fetch(store, store.sources, partition, limits=limits, folder=str(folder), **options)  # type: ignore[arg-type]


def groups_of(
    found: Fetched | Remote, folder: Path, partition: int = 0
) -> list[tuple[object, int]]:
    """Return the keys, and how many values they have."""
    from pymr.task.reduce_attempt import open_source

    sources = [open_source(found, s) for s in found.sources] if isinstance(found, Remote) else found
    merge = NativeReduceMerge(
        sources, partition, limits=LIMITS, spill_folder=str(folder), combine=None
    )
    return [(key, len(list(values))) for key, values in merge]


@pytest.mark.parametrize("partition", [0, 1])
def test_what_is_fetched_is_what_a_merge_reads_from_the_store(
    tmp_path: Path, partition: int
) -> None:
    """The same groups, from small runs and large ones, and some with nothing in the partition."""
    store = Remote()
    for task, count in enumerate([3, 5_000, 0, 700, 1]):
        store.add(records(task, count))
    store.add([(partition ^ 1, encode_key("other"), encode_value(1))])

    found = fetched(store, tmp_path, partition)

    expected = groups_of(store, tmp_path, partition)
    assert len(expected) == 3 + 5_000 + 700 + 1
    assert len(found.runs) == 4, "who has nothing is left out"
    assert groups_of(found, tmp_path, partition) == expected
    assert found.healed == 0


def test_the_file_is_gone_with_the_merge(tmp_path: Path) -> None:
    """It takes as much disk as the partition."""
    store = Remote()
    store.add(records(0, 10))
    found = fetched(store, tmp_path / "tmp")
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    assert (tmp_path / "tmp").stat().st_mode & 0o777 == 0o700

    groups_of(found, tmp_path)

    assert not any((tmp_path / "tmp").iterdir())
    found.remove()


def test_nothing_is_read_but_footers_and_the_partition(tmp_path: Path) -> None:
    """Of a large run with eight partitions an eighth is read, and its end."""
    store = Remote()
    store.add(records(0, 20_000, partitions=8, value_bytes=100), partitions=8, block_bytes=10_000)
    size = store.sources[0].size

    fetched(store, tmp_path, 3)

    assert size > 16_000_000
    assert size // 8 <= store.bytes_read < size // 8 + 3 * FETCH_TAIL_BYTES


def test_of_a_small_run_all_comes_with_its_footer(tmp_path: Path) -> None:
    """One request for each: with many of them it is the requests that take the time."""
    store = Remote()
    for task in range(50):
        store.add(records(task, 20))

    fetched(store, tmp_path)

    assert sorted(store.reads) == sorted((s.key, 0, s.size) for s in store.sources)


def test_footers_that_are_larger_are_soon_read_at_once(tmp_path: Path) -> None:
    """The first ones take three requests: what comes first, the rest of the footer, blocks."""
    store = Remote()
    for task in range(100):
        store.add(records(task, 1, partitions=1500), partitions=1500)
    assert store.sources[0].size > 3 * FETCH_TAIL_BYTES

    found = fetched(store, tmp_path)

    assert len(found.runs) == 100
    assert len(store.reads) < 3 * FETCHES_MAX + 2 * 100


def test_requests_are_made_at_once_and_not_too_many(tmp_path: Path) -> None:
    """All that may be at once are; one more would break the barrier."""
    store = Remote()
    for task in range(4 * FETCHES_MAX):
        store.add(records(task, 1))
    barrier = threading.Barrier(FETCHES_MAX)
    store.before = lambda: barrier.wait(timeout=30)

    fetched(store, tmp_path)

    assert len(store.reads) == 4 * FETCHES_MAX


def test_one_large_run_is_fetched_in_parallel(tmp_path: Path) -> None:
    """In pieces that together are within the memory of the merge; a large block comes alone."""
    store = Remote()
    store.add(large_values(64, 50_000))
    limits = Limits(merge_bytes_max=2 * FETCHES_MAX * 50_100)

    found = fetched(store, tmp_path, limits=limits)

    pieces = [length for _, _, length in store.reads[1:]]
    assert len(pieces) == 64, "a block each"
    assert groups_of(found, tmp_path) == [(number, 1) for number in range(64)]


def test_what_is_under_way_is_within_the_memory_of_a_merge(tmp_path: Path) -> None:
    """Half of it, for there are two copies; what is larger alone is alone."""
    store = Remote()
    store.add(large_values(20, 50_000))
    lock, running, most = threading.Lock(), [0], [0]
    get_range = store.get_range

    def counted(key: str, start: int, length: int) -> bytes:
        with lock:
            running[0] += length
            most[0] = max(most[0], running[0])
        try:
            return get_range(key, start, length)
        finally:
            with lock:
                running[0] -= length

    store.get_range = counted  # type: ignore[method-assign]
    for bytes_max, expected in ((220_000, 110_000), (20_000, 60_000)):
        most[0] = 0

        fetched(store, tmp_path, limits=Limits(merge_bytes_max=bytes_max))

        assert 0 < most[0] <= expected


def test_who_waits_is_told_that_something_has_come(tmp_path: Path) -> None:
    """A task that fetches for long makes progress."""
    store = Remote()
    store.add(large_values(20, 50_000))
    told: list[int] = []

    fetched(store, tmp_path, on_tick=lambda: told.append(threading.get_ident()))

    assert len(told) > 1
    assert set(told) == {threading.get_ident()}


def flip(place: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "wrong",
    [flip(-1), flip(-40), flip(20), lambda data: data[:-7], lambda _: b""],
    ids=["trailer", "footer", "block", "cut", "nothing"],
)
@pytest.mark.parametrize("times", [1, FETCH_TRIES_MAX - 1])
def test_f42_f43_what_is_damaged_on_the_way_is_read_again(
    tmp_path: Path, wrong: Callable[[bytes], bytes], times: int
) -> None:
    """A footer, or blocks that came with it; as often as it may be read."""
    store = Remote()
    store.add(records(0, 20))
    store.damage = lambda number, data: wrong(data) if number <= times else data

    found = fetched(store, tmp_path)

    assert found.healed == times
    assert len(store.reads) == 1 + times
    assert len(groups_of(found, tmp_path)) == 20


@pytest.mark.parametrize("wrong", [flip(60_000), lambda data: data[:-7]], ids=["block", "cut"])
def test_f42_f43_blocks_that_are_damaged_on_the_way_are_read_again(
    tmp_path: Path, wrong: Callable[[bytes], bytes]
) -> None:
    """Of a large run, the piece alone."""
    store = Remote()
    store.add(large_values(20, 50_000))
    store.damage = lambda number, data: wrong(data) if number == 2 else data

    found = fetched(store, tmp_path)

    assert found.healed == 1
    assert len(groups_of(found, tmp_path)) == 20
    read = [read for read in store.reads if store.reads.count(read) > 1]
    assert read == [store.reads[1]] * 2


@pytest.mark.parametrize("at", [12, 700_000, -50, -1])
def test_f44_what_is_damaged_as_often_as_it_is_read_is_corrupt(tmp_path: Path, at: int) -> None:
    """The error names the object, so that its task can be run again; nothing is left here."""
    store = Remote()
    store.add(records(0, 20))
    store.add(large_values(20, 50_000))
    key = store.sources[1].key
    store.replace(key, flip(at)(store.get(key)))

    with pytest.raises(CorruptDataError, match=f"sorted run `{key}` is corrupt at byte") as failed:
        fetched(store, tmp_path / "tmp")

    assert failed.value.fields["path"] == key
    most = max(store.reads, key=store.reads.count)
    assert (most[0], store.reads.count(most)) == (key, FETCH_TRIES_MAX)
    assert not any((tmp_path / "tmp").iterdir())


def test_f44_a_run_that_was_cut_is_corrupt(tmp_path: Path) -> None:
    """The size that was committed is asked for, and is not there."""
    store = Remote()
    store.add(records(0, 20))
    store.replace("map-0", store.get("map-0")[:-100])

    with pytest.raises(CorruptDataError, match="map-0` is corrupt") as failed:
        fetched(store, tmp_path)

    assert failed.value.fields["path"] == "map-0"


def test_f46_a_run_that_is_gone_is_named(tmp_path: Path) -> None:
    """One look is enough."""
    store = Remote()
    for task in range(40):
        store.add(records(task, 20))
    store.delete("map-30")

    with pytest.raises(ObjectMissingError) as failed:
        fetched(store, tmp_path / "tmp")

    assert failed.value.fields["key"] == "map-30"
    assert not any((tmp_path / "tmp").iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """As that of spills is."""
    store = Remote()
    store.add(records(0, 20))
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ResourceError, match=r"cannot write a spill in .*file`"):
        fetched(store, tmp_path / "file")


def test_f14_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is needed; the file goes."""
    store = Remote()
    store.add(records(0, 20))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(ResourceError, match="No space left"):
        fetched(store, tmp_path / "tmp")

    assert not any((tmp_path / "tmp").iterdir())


def test_a_disk_that_takes_a_part_is_given_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pwrite` may write less than it was given."""
    store = Remote()
    store.add(records(0, 20))
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:10], at))

    found = fetched(store, tmp_path)

    assert len(groups_of(found, tmp_path)) == 20
