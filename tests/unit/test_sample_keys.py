"""What a task process answers when it is asked for the keys of a sample."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pymr
from pymr.core.sample import SAMPLE_KEY_BYTES_MAX, WEIGHT_OF_RECORD
from pymr.core.spec import InputFile, JobSpec, KeySample, SampleSplit, SampleWork, Split, TextRules
from pymr.errors import InputError, UserCodeError
from pymr.records.discover import DiscoverRules, discover
from pymr.shuffle.codec import decode_key, encode_key
from pymr.task.sample import (
    PENDING_KEYS_MAX,
    STREAM_PLACE_BYTES_MAX,
    sample_keys,
)
from pymr.task.user_code import shape_of


def words(ctx: Any, chunk: str) -> None:
    for word in chunk.split():
        ctx.emit(word, 1)


def job_of(mapper: Callable[..., Any] = words, **fields: Any) -> pymr.Job:
    return pymr.Job(mapper=mapper, reducer=lambda _ctx, _key, _values: None, **fields)


def spec_of(job: pymr.Job, **text: Any) -> JobSpec:
    return JobSpec(
        run="run",
        name="n",
        worker="w",
        shape=shape_of(job, digest=""),
        reducers=4,
        text=TextRules(**text),
    )


def file_of(path: Path) -> InputFile:
    return discover([str(path)], DiscoverRules()).files[0]


def sampled(
    path: Path,
    job: pymr.Job | None = None,
    *,
    keys_max: int = 1000,
    groups_max: int | None = None,
    places: tuple[int, ...] = (),
    stands_for: int | None = None,
    **text: Any,
) -> KeySample:
    """Return what comes of all of a file."""
    job = job or job_of()
    file = file_of(path)
    split = SampleSplit(
        Split(0, 0, file.size), file.size if stands_for is None else stands_for, keys_max, places
    )
    return sample_keys(job, spec_of(job, **text), SampleWork((split,), {0: file}, groups_max))


def records(sample: KeySample) -> dict[Any, float]:
    """Return for how many records each key stands."""
    return {decode_key(key): weight / WEIGHT_OF_RECORD for key, weight in sample.weights}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("a b a\nc a\n" * 50)
    return path


@pytest.mark.parametrize("groups_max", [None, 100])
def test_every_key_is_counted_where_there_is_room(text: Path, groups_max: int | None) -> None:
    """Each stands for itself; combined or not."""
    sample = sampled(text, groups_max=groups_max)

    assert records(sample) == {"a": 150, "b": 50, "c": 50}
    assert (sample.emitted, sample.halvings) == (250, 0)


@pytest.mark.parametrize("groups_max", [None, 100])
def test_a_record_stands_for_as_many_bytes_as_its_split_does(
    text: Path, groups_max: int | None
) -> None:
    """A thousand bytes that stand for ten thousand."""
    sample = sampled(text, groups_max=groups_max, stands_for=5000)

    assert records(sample) == {"a": 1500, "b": 500, "c": 500}


def test_of_many_records_some_are_kept_and_stand_for_the_others(tmp_path: Path) -> None:
    """So heavy keys weigh about what they do in the split."""
    path = tmp_path / "in.txt"
    path.write_text("the\nsome\nthe\nthe\n" * 1000)

    sample = sampled(path, keys_max=200)

    assert sample.emitted == 4000
    assert records(sample) == {
        "the": pytest.approx(3000, rel=0.1),
        "some": pytest.approx(1000, rel=0.1),
    }


@pytest.mark.parametrize("period", [2, 3, 4, 8, 10])
def test_a_mapper_that_emits_kinds_of_keys_in_turn_is_sampled_for_each(
    tmp_path: Path, period: int
) -> None:
    """Every second record would be all of a kind."""
    path = tmp_path / "in.txt"
    path.write_text("x\n" * 4000)

    def mapper(ctx: Any, chunk: str) -> None:
        for number, _ in enumerate(chunk.splitlines()):
            ctx.emit((number % period, number), 1)

    sample = sampled(path, job_of(mapper), keys_max=500)

    kinds = Counter(decode_key(key)[0] for key, _ in sample.weights)
    assert len(kinds) == period
    assert max(kinds.values()) < 1.5 * min(kinds.values())


def test_of_many_groups_some_are_kept_with_all_of_their_records(tmp_path: Path) -> None:
    """How often a key comes says what combining leaves of it."""
    path = tmp_path / "in.txt"
    path.write_text("".join(f"k{number}\n" * (number % 3 + 1) for number in range(3000)))

    sample = sampled(path, groups_max=500)

    assert 200 < len(sample.weights) <= 500
    assert sample.halvings > 0
    assert {decode_key(key): weight // WEIGHT_OF_RECORD for key, weight in sample.weights} == {
        decode_key(key): int(decode_key(key)[1:]) % 3 + 1 for key, _ in sample.weights
    }


def test_more_groups_than_are_held_at_once_are_counted_all(tmp_path: Path) -> None:
    """What waits to be kept is bounded, too; also keys that are no text."""
    path = tmp_path / "in.txt"
    path.write_text("x\n")
    count = PENDING_KEYS_MAX + 10

    def mapper(ctx: Any, _chunk: str) -> None:
        for number in [*range(count), *range(count)]:
            ctx.emit(number, 1)

    sample = sampled(path, job_of(mapper), groups_max=2 * count)

    assert records(sample) == dict.fromkeys(range(count), 2)


def test_what_is_kept_does_not_depend_on_what_else_the_process_maps(tmp_path: Path) -> None:
    """Splits of two files in one process, or in two."""
    files = {}
    splits = []
    for number in range(2):
        path = tmp_path / f"{number}.txt"
        path.write_text("".join(f"{word} {number} " for word in range(3000)))
        files[number] = file_of(path)
        splits.append(SampleSplit(Split(number, 0, files[number].size), 10**6, 300))
    job = job_of()
    spec = spec_of(job)

    both = sample_keys(job, spec, SampleWork(tuple(splits), files, None))
    each = [
        sample_keys(job, spec, SampleWork((split,), {split.split.input: files[index]}, None))
        for index, split in enumerate(splits)
    ]

    merged: Counter[bytes] = Counter()
    for one in each:
        merged.update(dict(one.weights))
    assert dict(both.weights) == merged
    assert both.emitted == sum(one.emitted for one in each)


def test_keys_are_normalized_before_they_are_compared(tmp_path: Path) -> None:
    """As they are when they are emitted in earnest."""
    path = tmp_path / "in.txt"
    path.write_text("é e\u0301\n")

    for groups_max in (None, 10):
        sample = sampled(path, normalize="NFC", groups_max=groups_max)
        assert records(sample) == {"é": 2}


def test_long_keys_are_told_apart_by_their_first_bytes(tmp_path: Path) -> None:
    """So that boundaries and memory stay small."""
    path = tmp_path / "in.txt"
    path.write_text(f"{'x' * 1000} {'x' * 2000} y\n")

    for groups_max in (None, 10):
        keys = dict(sampled(path, groups_max=groups_max).weights)
        assert set(keys) == {encode_key("x" * 1000)[:SAMPLE_KEY_BYTES_MAX], encode_key("y")}


def test_hooks_run_and_counts_are_forgotten(text: Path) -> None:
    """What a mapper needs of setup is there; nothing of a sample is in a result."""
    seen = []

    def mapper(ctx: Any, _chunk: str) -> Any:
        ctx.count("calls")
        yield seen[0], ctx.input.offset

    job = job_of(mapper, setup=lambda _ctx: seen.append("up"), teardown=lambda _ctx: seen.append(0))

    assert list(records(sampled(text, job))) == ["up"]
    assert seen == ["up", 0]


def test_an_error_of_the_mapper_names_the_record(text: Path) -> None:
    """As in a map attempt."""

    def mapper(ctx: Any, chunk: str) -> None:
        for line in chunk.splitlines():
            ctx.emit(1 // (line != "c a"), 1)

    with pytest.raises(UserCodeError, match="mapper raised ZeroDivisionError") as caught:
        sampled(text, job_of(mapper))

    assert (caught.value.fields["line"], caught.value.fields["record"]) == (2, "c a")


def test_a_key_that_is_none_is_refused(text: Path) -> None:
    """The user's line is in the error."""

    def mapper(ctx: Any, _chunk: str) -> None:
        ctx.emit(["list"], 1)

    for groups_max in (None, 10):
        with pytest.raises(UserCodeError, match="mapper raised TypeError") as caught:
            sampled(text, job_of(mapper), groups_max=groups_max)
        assert caught.value.fields["frames"][-1]["source"].strip() == 'ctx.emit(["list"], 1)'


def compressed(tmp_path: Path, lines: int) -> Path:
    """Write a stream of numbered lines of ten bytes."""
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(b"".join(b"%09d\n" % number for number in range(lines))))
    return path


@pytest.mark.parametrize("input_format", [pymr.TEXT, pymr.LINES])
def test_some_cells_of_a_stream_stand_for_all_of_it(
    tmp_path: Path, input_format: pymr.InputFormat
) -> None:
    """Those that lie as far along it as the places do on the disk."""
    path = compressed(tmp_path, 100_000)
    size = path.stat().st_size

    sample = sampled(
        path, job_of(input=input_format), keys_max=10**6, places=(size // 4, size * 3 // 4)
    )

    numbers = sorted(int(decode_key(key)) for key, _ in sample.weights)
    assert len(numbers) == pytest.approx(2 * 6554, abs=2)
    assert numbers[0] == pytest.approx(25_000, abs=6554)
    assert numbers[-1] == pytest.approx(75_000, abs=6554)
    assert sum(records(sample).values()) == pytest.approx(100_000, rel=0.01)


def test_of_a_long_stream_the_front_is_seen_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decoded is bounded; it stands for the rest."""
    monkeypatch.setattr("pymr.task.sample.STREAM_PLACE_BYTES_MAX", STREAM_PLACE_BYTES_MAX >> 3)
    path = compressed(tmp_path, 1_000_000)

    sample = sampled(path, keys_max=10**6, places=(path.stat().st_size - 1,))

    numbers = sorted(int(decode_key(key)) for key, _ in sample.weights)
    assert numbers[-1] < 200_000
    assert sum(records(sample).values()) == pytest.approx(1_000_000, rel=0.1)


def test_an_empty_stream_has_no_keys(tmp_path: Path) -> None:
    """It decodes to nothing."""
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(b""))

    assert sampled(path, places=(0, 5)) == KeySample((), 0, 0)


def test_a_stream_in_another_encoding_is_sampled_as_text(tmp_path: Path) -> None:
    """UTF-16 is a stream, too."""
    path = tmp_path / "in.txt"
    path.write_bytes("é b\n".encode("utf-16"))
    file = discover([str(path)], DiscoverRules(encoding="utf-16")).files[0]
    job = job_of()
    split = SampleSplit(Split(0, 0, file.size), file.size, 10, (3,))

    sample = sample_keys(
        job, spec_of(job, encoding="utf-16"), SampleWork((split,), {0: file}, None)
    )

    assert sorted(decode_key(key) for key, _ in sample.weights) == ["b", "é"]


def test_a_whole_file_is_one_call(tmp_path: Path) -> None:
    """Also a compressed one."""
    path = compressed(tmp_path, 10)
    job = job_of(lambda ctx, data: ctx.emit(len(data), 1), input=pymr.WHOLE)

    assert records(sampled(path, job)) == {100: 1}


def test_a_broken_stream_is_refused(tmp_path: Path) -> None:
    """As in a map attempt."""
    path = compressed(tmp_path, 100_000)
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(InputError, match="ends in the middle"):
        sampled(path, places=(500,))
