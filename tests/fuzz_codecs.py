"""Mutated keys, values, blocks and runs, read by the compiled decoders and by the plain ones.

    python tests/fuzz_codecs.py --minutes 10 --seed 7 --native rust/target/fuzz/lib_native.so

Each case ends in a `CorruptDataError` of both, or in the same objects of both, which are encoded
to the same bytes by both and come back from these. A panic, a crash, any other exception, more
than `MEMORY_BYTES_MAX`, or more than `PATIENCE_S` of processor time for a few thousand cases
ends the program. What a mutated pickle might do is its own business: it is a stand-in here.

Mutated runs without Python, many more of them, are the business of `rust/src/fuzz.rs`.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.machinery
import importlib.util
import pickle
import random
import resource
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, groupby
from typing import Any, NamedTuple

MEMORY_BYTES_MAX = 2 << 30
PATIENCE_S = 100
BATCH = 2000  # cases between looks at the clock
HEADER_BYTES = 12  # of a run, before its blocks
PICKLE = b"\x86"  # the tag of a value
NUMBERS = (
    *(b"\0", b"\x7f", b"\x80\0", b"\xff" * 4, b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\1"),
    *(b"\xff" * 12, b"\0\0\0\x80", b"\x80\x80\x80\x80\x10"),
)


class Stand(bytes):
    """What a pickle is taken for."""


pickle.loads = Stand  # type: ignore[assignment] # before the compiled part looks it up


class Codec(NamedTuple):
    """The compiled and the plain form of one encoding."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    plain_decode: Callable[[bytes], Any]
    plain_encode: Callable[[Any], bytes]


def load(path: str) -> None:
    """Take the compiled part from `path`, such as a build that looks at every overflow."""
    loader = importlib.machinery.ExtensionFileLoader("pymr._native", path)
    spec = importlib.util.spec_from_file_location("pymr._native", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pymr._native"] = module
    loader.exec_module(module)


def any_key(dice: random.Random, depth: int = 0) -> Any:
    """Return a key."""
    kind = dice.randrange(8 if depth < 4 else 7)
    if kind == 7:
        return tuple(any_key(dice, depth + 1) for _ in range(dice.randrange(4)))
    return any_scalar(dice, kind)


def any_scalar(dice: random.Random, kind: int) -> Any:
    """Return what is no container."""
    length = dice.choice((0, 1, 5, 130))
    bits = dice.choice((8, 16, 31, 63, 64, 65, 200))
    make: tuple[Callable[[], Any], ...] = (
        lambda: dice.choice((None, True, False)),
        lambda: dice.randrange(-20, 120),
        lambda: dice.getrandbits(bits) * dice.choice((1, -1)),
        lambda: struct.unpack("<d", dice.randbytes(8))[0],
        lambda: dice.choice((0.0, -0.0, float("inf"), -1.5, float("nan"))),
        lambda: dice.randbytes(length),
        lambda: "".join(dice.choices("ab\0é€\ud800😀", k=length)),
    )
    return make[kind]()


def any_value(dice: random.Random, depth: int = 0) -> Any:
    """Return a value."""
    kind = dice.randrange(11 if depth < 4 else 7)
    if kind < 7:
        return any_scalar(dice, kind)
    items = [any_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind == 7:
        return tuple(items)
    if kind == 8:
        return {any_key(dice, 3): item for item in items}
    return items if kind == 9 or depth else Stand(dice.randbytes(8))


def mutated(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """Return `data`, changed in one to three ways."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = dice.randrange(len(data) + 1)
        end = at + dice.randrange(min(len(data) - at, 64) + 1)
        kind = dice.randrange(7)
        if kind == 0:
            middle = bytes(byte ^ 1 << dice.randrange(8) for byte in data[at : at + 1])
            data = data[:at] + middle + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + dice.randbytes(1) + data[at + 1 :]
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            number = dice.choice(NUMBERS)
            data = data[:at] + number + data[at + len(number) :]
        elif kind == 4:
            data = data[:at] + data[end:]
        elif kind == 5:
            data = data[:end] + data[at:]
        else:
            start = dice.randrange(len(other) + 1)
            data = data[:at] + other[start : start + dice.randrange(64)] + data[end:]
    return data


class Fuzzer:
    """Makes cases from a seed, and counts how they end."""

    def __init__(self, seed: int) -> None:
        from pymr import _native
        from pymr.core.spec import EdgeSum
        from pymr.errors import CorruptDataError
        from pymr.shuffle import footer, key_codec, sorted_run, value_codec

        self.dice = random.Random(seed)
        self.ends: Counter[str] = Counter()
        self._native, self._runs, self._footers = _native, sorted_run, footer
        self._sum, self._error = EdgeSum, CorruptDataError
        self._key = Codec(
            _native.decode_key, _native.encode_key, key_codec.decode_key, key_codec.encode_key
        )
        self._value = Codec(
            *(_native.decode_value, _native.encode_value),
            *(value_codec.decode_value, value_codec.encode_value),
        )
        self._renew()

    def run(self, cases: int) -> None:
        """Try some cases of each kind."""
        for number in range(cases):
            if number % 500 == 0:
                self._renew()
            dice = self.dice
            self._try_codec("key", self._key, dice.choice(self._keys), dice.choice(self._keys))
            self._try_codec(
                "value", self._value, dice.choice(self._values), dice.choice(self._values)
            )
            if number % 4 == 0:
                self._try_run()
                self._try_footer()

    def _renew(self) -> None:
        dice = self.dice
        self._keys = [self._key.plain_encode(any_key(dice)) for _ in range(30)]
        self._values = [self._value.plain_encode(any_value(dice)) for _ in range(30)]

    def _try_codec(self, name: str, codec: Codec, data: bytes, other: bytes) -> None:
        data = mutated(self.dice, data, other)
        found, plain = self._read(codec.decode, data), self._read(codec.plain_decode, data)
        assert (found is self._error) == (plain is self._error), (name, data, found, plain)
        if found is self._error:
            self.ends[f"{name}: refused"] += 1
            return
        exact = self._value.plain_encode(found)  # the types and the bits of both
        assert exact == self._value.plain_encode(plain), (name, data, found, plain)
        again = codec.encode(found)
        assert again == codec.plain_encode(plain), (name, data, found)
        if again[:1] != PICKLE:
            assert codec.encode(codec.decode(again)) == again, (name, data, found)
        self.ends[f"{name}: {'the same bytes' if again == data else 'other bytes'}"] += 1

    def _read(self, decode: Callable[[bytes], Any], data: bytes) -> Any:
        try:
            return decode(data)
        except self._error:
            return self._error

    def _try_run(self) -> None:
        dice = self.dice
        raw = mutated(dice, self._block(), self._block())
        codec = 0
        if dice.randrange(3) == 0:  # a block of lz4: the raw bytes as one literal, then mutated
            packed = len(raw).to_bytes(4, "little") + _literals(raw)
            raw = mutated(dice, packed, raw) if dice.randrange(2) else packed
            codec = 1
        mode = dice.choice((None, None, "sum", "min", "identity"))
        found = self._read(lambda _: self._groups(raw, codec, mode), raw)
        plain = self._read(lambda _: self._plain_groups(raw, codec, mode), raw)
        if mode is None or plain is not self._error:  # a built-in looks at what it needs
            assert found == plain, (raw, codec, mode, found, plain)
        self.ends[f"run: {'refused' if found is self._error else 'groups'}"] += 1

    def _block(self) -> bytes:
        dice = self.dice
        out = bytearray()
        for key in sorted(dice.choices(self._keys, k=dice.randrange(1, 4))):
            values = dice.choices(self._values, k=dice.randrange(1, 4))
            body = b"".join(values)
            out += b"%b%b%b%b%b" % (
                *(_varint(len(key)), key, _varint(len(values)), _varint(len(body)), body),
            )
        return bytes(out)

    def _try_footer(self) -> None:
        dice, footers = self.dice, self._footers
        sound, end = self._footer(dice.randrange(4))
        data = mutated(dice, sound, self._footer(2)[0])
        found = self._read(lambda each: self._native.footer_sums("fuzz", each, end), data)
        run = self._read(lambda each: self._native.Run("fuzz", each, end, 1, bytes), data)
        plain = self._read(lambda each: footers.decode_footer(each, HEADER_BYTES, end), data)
        if plain is not self._error:
            sums = [(each.records, each.bytes, each.fingerprint) for each in plain.partitions]
            plain = (sums, plain.extra)
        assert found == plain, (data, end, found, plain)
        assert (run is self._error) == (plain is self._error), (data, end)
        self.ends[f"footer: {'refused' if found is self._error else 'sums'}"] += 1

    def _footer(self, partitions: int) -> tuple[bytes, int]:
        """Return a footer, and where the blocks of its run end."""
        dice, footers = self.dice, self._footers

        def block() -> Any:
            size, codec = dice.choice((0, 1, 130, 70_000)), dice.randrange(2)
            return footers.Block(0, size, codec, dice.getrandbits(64))

        def part() -> Any:
            blocks = tuple(block() for _ in range(dice.randrange(3)))
            written = self._sum(dice.getrandbits(20), dice.getrandbits(40), dice.getrandbits(128))
            return footers.PartitionIndex(written, dice.getrandbits(16), blocks, 300)

        parts = tuple(part() for _ in range(partitions))
        data = footers.encode_footer(footers.Footer(parts, dice.randbytes(dice.randrange(9))))
        return data, HEADER_BYTES + sum(each.size for made in parts for each in made.blocks)

    def _groups(self, data: bytes, codec: int, mode: str | None) -> object:
        """Return all that the compiled merge gives: encoded groups, or rows of a built-in."""
        footers = self._footers
        block = footers.Block(0, len(data), codec, self._native.xxh3_64(data))
        part = footers.PartitionIndex(self._sum(), 1, (block,), len(data))
        footer = footers.encode_footer(footers.Footer((part,), b""))
        stored, end = bytes(HEADER_BYTES) + data, HEADER_BYTES + len(data)
        run = self._native.Run("fuzz", footer, end, 0, lambda at, size: stored[at : at + size])
        merge = self._native.GroupMerge([run], 0, 1 << 20, lambda *_: None, lambda: None)
        if mode is None:
            return [self._value.plain_encode((key, list(values))) for key, values in merge]
        return self._rows(partial(merge.reduce_into, reduce=mode), mode)

    def _plain_groups(self, data: bytes, codec: int, mode: str | None) -> object:
        raw = self._native.unpack_block(data) if codec == 1 else data
        groups = []
        entries = list(self._runs._entries_of(raw))
        for key, group in groupby(entries, lambda entry: entry[0]):
            values = [self._value.plain_decode(value) for _, part in group for value in part]
            groups.append((self._key.plain_decode(key), values))
        if mode is None:
            return [self._value.plain_encode(group) for group in groups]

        def reduce_into(_rows: Any, fallback: Callable[[Any, Any], None]) -> None:
            for key, values in groups:
                fallback(key, iter(values))

        return self._rows(reduce_into, mode)

    def _rows(self, reduce_into: Callable[..., None], mode: str) -> object:
        from pymr.records import jsonl, part
        from pymr.records.column import Column
        from pymr.shuffle.builtin import reduce_for

        out: list[bytes] = []
        make_row = partial(part._make_row, jsonl.row_text, Column("key"), Column("value"))
        rows = self._native.RowWriter("jsonl", make_row, out.append)

        def fallback(key: Any, values: Any) -> None:
            for value in values if mode == "identity" else [reduce_for(mode)(values)]:
                rows.emit(key, value)

        try:
            reduce_into(rows, fallback=fallback)
        except (TypeError, ValueError, OverflowError) as error:
            return type(error)
        rows.finish()
        return b"".join(out)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _literals(data: bytes) -> bytes:
    """Return an lz4 block that copies nothing."""
    if len(data) < 15:
        return bytes((len(data) << 4,)) + data
    full, rest = divmod(len(data) - 15, 255)
    return b"\xf0" + b"\xff" * full + bytes((rest,)) + data


def batches(arguments: argparse.Namespace) -> Iterator[int]:
    """Yield how many cases to try next."""
    if arguments.minutes is None:
        yield arguments.cases
        return
    until = time.monotonic() + 60 * arguments.minutes
    for _ in count():
        if time.monotonic() > until:
            return
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
        yield BATCH
    raise AssertionError


def main() -> None:
    """Try cases until the time is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--cases", type=int, default=BATCH)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--native", help="a compiled part to take")
    arguments = parser.parse_args()
    faulthandler.register(signal.SIGVTALRM, chain=True)  # shows where, and ends the process
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    if arguments.native:
        load(arguments.native)
    fuzzer = Fuzzer(arguments.seed)
    for cases in batches(arguments):
        fuzzer.run(cases)
    total = sum(fuzzer.ends.values())
    sys.stdout.write(f"{total} cases with seed {arguments.seed}\n")
    for end, number in sorted(fuzzer.ends.items()):
        sys.stdout.write(f"{number:12} {end}\n")


if __name__ == "__main__":
    main()
