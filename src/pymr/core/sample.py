"""Which parts of the inputs are mapped ahead of a run with `--sort`, to learn how its keys lie.

Places are chosen evenly over the bytes of all inputs, in input order, and each stands for as many
bytes as any other. A place means the grid cell around it; in a file that is read whole, the file;
in a stream, a cell as far along what was decoded of it.

Laws:
- the choice depends on the inputs and the number of reduce tasks alone, and a split of the sample
  is mapped in the same way whoever does it: so do the boundaries of the parts;
- inputs of 8 MiB are read whole, of larger ones 8 MiB or a sixteenth, whichever is more.

A pure function of sizes; files are not opened here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pymr.core.plan import FILE_OPEN_BYTES, GRID_STEP_MAX, KIB, default_mappers
from pymr.core.spec import InputFile, SampleSplit, Shape, Split

# A part that k sampled keys decided on is off by 1 / sqrt(k) (one standard deviation): 3 % with
# a thousand.
KEYS_PER_REDUCER = 1000
SAMPLE_KEYS_MIN = 10_000
SAMPLE_KEYS_MAX = 250_000  # what the least `--memory` has room for, `core.budget` counts them
SAMPLE_KEY_BYTES_MAX = 256  # of an encoded key; longer ones are told apart by these alone
SPARE_KEYS_FACTOR = 4  # so many times what is wanted may be kept
KEYS_OF_SPLIT_MIN = 16  # however small a split is beside the others, unless they are many

# In an input that is sorted already a part is off by the bytes between two places.
PLACES_PER_REDUCER = 16
PLACES_MIN = 128
SAMPLE_BYTES_MIN = PLACES_MIN * GRID_STEP_MAX
SAMPLE_SHARE_MAX = 16  # beyond that, one of so many bytes may be read
SPLIT_BYTES = 512 * KIB  # of inputs that are read whole: work for several

TRIAL_PLACES = 32  # 2 MiB: a word count on them takes two seconds, which is waited for

WEIGHT_OF_RECORD = 1 << 16  # weights are whole numbers, of which sums have no order
# A guess, since it must not depend on the workers: with 2 to 5 of them it is within 20 %.
COMBINING_WORKERS = 3


class Sample(msgspec.Struct, frozen=True):
    """What is mapped, at how many places, to have how many keys; 0 places: everything."""

    splits: tuple[SampleSplit, ...]
    places: int
    keys: int

    @property
    def bytes(self) -> int:
        """The bytes of input that are read; of a stream a cell for each place, at a guess."""
        return sum(
            len(each.places) * GRID_STEP_MAX or each.split.end - each.split.start
            for each in self.splits
        )

    @property
    def keys_max(self) -> int:
        """How many different keys may be kept."""
        return self.keys * SPARE_KEYS_FACTOR


def is_combined(shape: Shape) -> bool:
    """Return whether map tasks combine the records of a key."""
    return shape.combiner is not None or shape.reducer not in ("function", "identity")


def keys_wanted(reducers: int) -> int:
    """Return how many keys a sample should have for so many parts."""
    wanted = max(SAMPLE_KEYS_MIN, KEYS_PER_REDUCER * reducers)
    return min(wanted, SAMPLE_KEYS_MAX // SPARE_KEYS_FACTOR)


def plan_sample(inputs: Sequence[InputFile], reducers: int, *, whole: bool) -> Sample:
    """Return the first sample; `whole` says that the mapper takes whole files."""
    places = max(
        PLACES_MIN, min(PLACES_PER_REDUCER * reducers, _bytes_max(inputs) // GRID_STEP_MAX)
    )
    return _sample(inputs, places, keys_wanted(reducers), whole=whole)


def plan_larger_sample(
    inputs: Sequence[InputFile], sample: Sample, emitted: int, *, whole: bool
) -> Sample | None:
    """Return a sample to take in place of `sample`, which emitted too few keys; or None.

    None also where there is no more to read. What it should emit is twice of what is wanted, so
    that there is no need for a third one.
    """
    if not sample.places or emitted >= sample.keys:
        return None
    bytes_per_place = max(sample.bytes // sample.places, FILE_OPEN_BYTES)
    wanted = sample.places * 2 * sample.keys // max(emitted, 1)
    places = min(wanted, _bytes_max(inputs) // bytes_per_place)
    if places <= sample.places:
        return None
    larger = _sample(inputs, places, sample.keys, whole=whole)
    return larger if larger.places > sample.places else None


def trial_splits(inputs: Sequence[InputFile], *, whole: bool) -> tuple[Split, ...]:
    """Return the splits that `pymr check` may map, as many as it has time for, in input order."""
    if sum(file.size for file in inputs) <= TRIAL_PLACES * GRID_STEP_MAX:
        sampled = _everything(inputs, KEYS_OF_SPLIT_MIN, whole=whole)
    else:
        sampled = _chosen(inputs, TRIAL_PLACES, KEYS_OF_SPLIT_MIN, whole=whole)
    return tuple(each.split for each in sampled)


def combined(weights: Mapping[bytes, int], inputs: Sequence[InputFile]) -> dict[bytes, int]:
    """Return what is left of each key when every map task combines its records of it.

    With f records in m tasks that is about m * (1 - exp(-f / m)); here with 1 + x + x**2 / 2 for
    exp(x), which is at most 8 % off, and the same on every machine.
    """
    m = default_mappers(inputs, COMBINING_WORKERS) * WEIGHT_OF_RECORD
    return {
        key: max(1, m * f * (2 * m + f) // (2 * m * m + 2 * m * f + f * f))
        for key, f in weights.items()
    }


def _bytes_max(inputs: Sequence[InputFile]) -> int:
    """Return how many bytes may be read, about."""
    return max(SAMPLE_BYTES_MIN, sum(file.size for file in inputs) // SAMPLE_SHARE_MAX)


def _sample(inputs: Sequence[InputFile], places: int, keys: int, *, whole: bool) -> Sample:
    if sum(file.size for file in inputs) <= SAMPLE_BYTES_MIN:
        return Sample(tuple(_everything(inputs, keys, whole=whole)), 0, keys)
    bytes_max = _bytes_max(inputs)
    while True:
        sample = Sample(tuple(_chosen(inputs, places, keys, whole=whole)), places, keys)
        if sample.bytes <= bytes_max or places == 1:
            return sample
        places = max(1, min(places - 1, places * bytes_max // sample.bytes))


def _everything(inputs: Sequence[InputFile], keys: int, *, whole: bool) -> Iterator[SampleSplit]:
    """Yield all of the inputs; of a stream, which may be long when it is decoded, its share."""
    total = sum(file.size for file in inputs)
    for index, file in enumerate(inputs):
        step = file.size if whole or file.stream else -(-SPLIT_BYTES // file.step) * file.step
        for start in range(0, file.size, step or 1):
            split = Split(index, start, min(start + step, file.size))
            size = split.end - split.start
            spread: tuple[int, ...] = ()
            if file.stream and not whole:
                count = -(-PLACES_MIN * size // total)
                spread = tuple((2 * place + 1) * size // (2 * count) for place in range(count))
            yield SampleSplit(split, size, _keys_of(keys, size, total, KEYS_OF_SPLIT_MIN), spread)


def _chosen(
    inputs: Sequence[InputFile], places: int, keys: int, *, whole: bool
) -> Iterator[SampleSplit]:
    """Yield what lies around each place; a whole file or a stream once, however many it has."""
    total = sum(file.size for file in inputs)
    keys_min = max(1, min(KEYS_OF_SPLIT_MIN, keys // places))
    place, before = 0, 0

    def offset() -> int:
        """Return where `place` lies in the file that begins after `before` bytes."""
        return (2 * place + 1) * total // (2 * places) - before

    for index, file in enumerate(inputs):
        spread = []
        while place < places and offset() < file.size:
            spread.append(offset())
            place += 1
        before += file.size
        if not spread:
            continue
        if whole or file.stream:
            share = len(spread) * total // places
            split = Split(index, 0, file.size)
            kept = () if whole else tuple(spread)
            yield SampleSplit(split, share, _keys_of(keys, share, total, keys_min), kept)
            continue
        for start, count in Counter(at // file.step * file.step for at in spread).items():
            share = count * total // places
            split = Split(index, start, min(start + file.step, file.size))
            yield SampleSplit(split, share, _keys_of(keys, share, total, keys_min))


def _keys_of(keys: int, share: int, total: int, least: int) -> int:
    """Return how many keys may be kept of a split that stands for `share` bytes."""
    return max(least, SPARE_KEYS_FACTOR * keys * share // total)
