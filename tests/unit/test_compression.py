"""Compressed inputs: rows B36 to B41 and B45, for all four kinds alike."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pymr._native import xxh3_128
from pymr.core.spec import InputFile, Limits, Split, TextRules
from pymr.errors import InputError
from pymr.records import compression
from pymr.records.discover import DiscoverRules, discover
from pymr.records.split_reader import line_number, lines_in, open_split

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))

Compress = Callable[[bytes], bytes]
KINDS: dict[str, Compress] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
all_kinds = pytest.mark.parametrize("kind", KINDS)


def write(folder: Path, data: bytes) -> InputFile:
    path = folder / "input"
    path.write_bytes(data)
    kind = compression.compression_of(data[:10])
    return InputFile(os.fsencode(path), len(data), 1 << 16, stream=True, compression=kind)


def read(file: InputFile) -> tuple[bytes, int]:
    with open_split(
        file, Split(0, 0, file.size), input_format="text", rules=TextRules(), limits=Limits()
    ) as reader:
        data = "".join(str(text) for _, text in reader).encode()
        receipt = reader.receipt()
    assert receipt.bytes == file.size
    return data, receipt.digest


@all_kinds
def test_b36_a_compressed_file_is_found_by_its_first_bytes_and_read(tmp_path, kind):
    """One stream, one task, the decoded bytes."""
    path = tmp_path / "input"
    path.write_bytes(KINDS[kind](TEXT))

    file = discover([str(path)], DiscoverRules()).files[0]

    assert (file.compression, file.stream, file.step) == (kind, True, 1 << 16)
    assert read(file)[0] == TEXT


@all_kinds
def test_b37_all_members_are_read_as_one_stream(tmp_path, kind):
    """`cat a.gz b.gz` is a and b, and an empty member is nothing."""
    compress = KINDS[kind]
    parts = [compress(TEXT[:7]), compress(b""), compress(TEXT[7:])]

    assert read(write(tmp_path, b"".join(parts)))[0] == TEXT


@all_kinds
@pytest.mark.parametrize("before", range(1, 12))
def test_b37_a_member_may_begin_anywhere_in_what_is_read_at_once(tmp_path, kind, before):
    """Its first bytes may stand in two reads."""
    packed = KINDS[kind](b"text\n")
    first = packed.ljust(compression.RAW_READ_BYTES - before, b"\0")

    assert read(write(tmp_path, first + packed))[0] == b"text\ntext\n"


@all_kinds
def test_b38_a_truncated_file_is_an_error_at_its_end(tmp_path, kind):
    """The place is where the bytes end."""
    data = KINDS[kind](TEXT)[:-5]
    file = write(tmp_path, data)

    with pytest.raises(InputError) as caught:
        read(file)

    assert caught.value.exit_code == 3
    assert caught.value.message == (
        f"broken {kind} input `{tmp_path}/input` at byte {len(data)}:"
        " it ends in the middle of the data"
    )
    assert caught.value.fields["offset"] == len(data)


@pytest.mark.parametrize(
    ("kind", "place"), [("gzip", -6), ("bz2", -200), ("xz", -40), ("zstd", -9)]
)
def test_b39_a_wrong_checksum_is_an_error(tmp_path, kind, place):
    """One flipped bit is found by what the format itself checks."""
    compress: Compress = KINDS[kind]
    if kind == "zstd":
        compress = lambda data: zstd.compress(  # noqa: E731 - with a checksum, as the tool writes
            data, options={zstd.CompressionParameter.checksum_flag: 1}
        )
    data = bytearray(compress(TEXT))
    data[place] ^= 1

    with pytest.raises(InputError, match=f"broken {kind} input .* before byte {len(data)}: "):
        read(write(tmp_path, bytes(data)))


@all_kinds
def test_b40_zeros_after_the_data_are_padding(tmp_path, kind):
    """Tapes and block devices pad with zeros, also between members."""
    packed = KINDS[kind](TEXT)

    assert read(write(tmp_path, packed + bytes(512) + packed + bytes(100_000)))[0] == TEXT * 2


@all_kinds
@pytest.mark.parametrize("padding", [0, 3, 70_000])
def test_b40_anything_else_after_the_data_is_an_error_with_its_place(tmp_path, kind, padding):
    """Garbage is never taken for the end, wherever it begins."""
    packed = KINDS[kind](TEXT) + bytes(padding)

    with pytest.raises(InputError) as caught:
        read(write(tmp_path, packed + b"garbage"))

    assert caught.value.fields["offset"] == len(packed)
    assert caught.value.message.endswith("`67 61 72 62` follows the data")


@all_kinds
def test_b40_one_byte_after_the_data_is_an_error(tmp_path, kind):
    """A magic needs more bytes than there are."""
    with pytest.raises(InputError, match="`78` follows the data"):
        read(write(tmp_path, KINDS[kind](TEXT) + b"x"))


@all_kinds
def test_b42_what_expands_a_thousandfold_is_read_in_bounded_pieces(tmp_path, kind):
    """No read returns more than was asked for."""
    stream = compression.open_stream(write(tmp_path, KINDS[kind](bytes(5_000_000))))

    sizes = []
    while data := stream.read(4096):
        sizes.append(len(data))
    stream.close()

    assert sum(sizes) == 5_000_000
    assert max(sizes) <= 4096


def read_within(file: InputFile, ratio: int) -> int:
    """Return how many bytes there are, with that limit of expansion."""
    limits = Limits(expansion_max=ratio)
    with open_split(
        file, Split(0, 0, file.size), input_format="lines", rules=TextRules(), limits=limits
    ) as reader:
        return sum(len(line) + 1 for _, line in reader)


@all_kinds
def test_b42_what_expands_more_than_allowed_is_refused(tmp_path, kind, monkeypatch):
    """At the first piece that is too much; a compressed byte more is allowed that much more."""
    monkeypatch.setattr(compression, "EXPANSION_FREE_BYTES", 5000)
    decoded_bytes = 3_000_000
    file = write(tmp_path, KINDS[kind](b"\n" * decoded_bytes))
    ratio = decoded_bytes // file.size

    assert read_within(file, ratio + 1) == decoded_bytes
    with pytest.raises(InputError) as caught:
        read_within(file, ratio - 1)

    error = caught.value
    assert error.exit_code == 3
    assert f"`{tmp_path}/input` expands " in error.message
    assert f"first {file.size}, expected at most {ratio - 1}:1" in error.message
    assert error.fields["decoded"] > (ratio - 1) * error.fields["read"]
    assert "--max-expansion" in str(error.hint)


@all_kinds
def test_b42_a_bomb_behind_plain_data_is_measured_as_a_whole(tmp_path, kind, monkeypatch):
    """The ratio is that of all bytes so far: members and places in a file do not matter."""
    monkeypatch.setattr(compression, "EXPANSION_FREE_BYTES", 5000)
    random = b"".join(b"%d\n" % pow(3, number, 2**61 - 1) for number in range(20_000))
    file = write(tmp_path, KINDS[kind](random) + KINDS[kind](b"\n" * 2_000_000))

    assert read_within(file, 20) == len(random) + 2_000_000
    with pytest.raises(InputError, match="expected at most 5:1"):
        read_within(file, 5)


def test_b42_the_first_mebibytes_are_free(tmp_path):
    """One byte more is not."""
    free = compression.EXPANSION_FREE_BYTES
    lines = (b" " * 1023 + b"\n") * (free >> 10)

    assert read_within(write(tmp_path, gzip.compress(lines)), 1) == free
    with pytest.raises(InputError, match=f"to {free + 1} bytes"):
        read_within(write(tmp_path, gzip.compress(lines + b"\n")), 1)


def test_an_xz_file_that_takes_more_memory_than_any_usual_one_is_refused(tmp_path):
    """What decoding holds is counted in the memory of a run: `xz -9` is, more is not."""
    usual = write(tmp_path, lzma.compress(TEXT, preset=9))
    assert read(usual)[0] == TEXT
    larger = {"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 128 << 20}

    with pytest.raises(InputError, match="needs more than 66 MiB to be decompressed") as caught:
        read(write(tmp_path, lzma.compress(TEXT, filters=[larger])))

    assert caught.value.hint == f"xz -dc {tmp_path}/input | pymr start --input - …"


@pytest.mark.parametrize(
    ("kind", "modules", "hint"),
    [
        ("gzip", ["zlib"], "gzip -dc {} | pymr start --input - …"),
        ("bz2", ["bz2"], "bzip2 -dc {} | pymr start --input - …"),
        ("xz", ["lzma"], "xz -dc {} | pymr start --input - …"),
        ("zstd", ["compression.zstd", "backports.zstd"], "pip install 'pymr[zstd]'"),
    ],
)
def test_b45_without_a_module_the_hint_is_the_command_that_helps(
    tmp_path, monkeypatch, kind, modules, hint
):
    """A Python may be built without any of them; no file stays open."""
    file = write(tmp_path, KINDS[kind](TEXT))
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    descriptors = Path("/proc/self/fd")
    open_files = len(list(descriptors.iterdir()))

    with pytest.raises(InputError) as caught:
        read(file)

    assert f"it is {kind} data, and this Python has no {kind} module" in caught.value.message
    assert caught.value.hint == hint.format(file.path.decode())
    assert len(list(descriptors.iterdir())) == open_files


def test_the_digest_of_a_stream_is_over_the_raw_bytes(tmp_path):
    """Cells of 64 KiB of the file as it is on disk, whatever was decoded of them."""
    packed = gzip.compress(os.urandom(50_000).hex().encode() * 3, 0)
    assert len(packed) > 2 << 16

    _, digest = read(write(tmp_path, packed))

    assert digest == sum(
        xxh3_128(offset.to_bytes(8, "little") + packed[offset : offset + (1 << 16)])
        for offset in range(0, len(packed), 1 << 16)
    ) % (1 << 128)


def test_line_numbers_of_a_stream_count_decoded_lines(tmp_path):
    """The offset is one of decoded bytes."""
    file = write(tmp_path, gzip.compress(TEXT))

    assert line_number(file, TEXT.index(b"line 15000")) == 15_001


def test_a_chunk_of_a_stream_with_replaced_bytes_is_fed_again(tmp_path):
    """The offsets of its lines are found in the stream."""
    raw = TEXT + b"a\xff\xffb\nlast\n"
    file = write(tmp_path, gzip.compress(raw))
    rules = TextRules(errors="replace")
    with open_split(
        file, Split(0, 0, file.size), input_format="text", rules=rules, limits=Limits()
    ) as reader:
        *_, (offset, text) = reader

    assert offset > 1 << 16
    lines = list(lines_in(text, offset, file, rules))
    assert lines[0][0] == offset
    assert lines[-2:] == [(len(TEXT), "a\ufffd\ufffdb\n"), (len(TEXT) + 5, "last\n")]


def test_a_whole_compressed_file_is_its_decoded_bytes(tmp_path):
    """WHOLE gives what was compressed."""
    file = write(tmp_path, gzip.compress(b"\xff\x00binary"))
    with open_split(
        file, Split(0, 0, file.size), input_format="whole", rules=TextRules(), limits=Limits()
    ) as reader:
        assert list(reader) == [(0, b"\xff\x00binary")]
