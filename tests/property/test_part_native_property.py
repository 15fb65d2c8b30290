"""The native part writer is the plain one, byte for byte, whatever is emitted."""

import math
import struct

from hypothesis import event, example, given
from hypothesis import strategies as st

from pymr._native import RowWriter, encode_key
from pymr.records.part import PartWriter, ReferencePartWriter
from pymr.shuffle.codec import decode_key, decode_value, encode_value

TEXT = st.one_of(
    st.text(),
    st.text(alphabet='\t\n\\\r"\b\f\x00\x01\x1f\x20\x7f\x80é\u2028😀ab', max_size=20),
    st.binary(max_size=8).map(lambda data: data.decode(errors="surrogateescape")),
    st.text(alphabet="a\ud800\udc7f\udc80\udcff\udd00\udfff", max_size=3),
)
INTS = st.one_of(
    st.integers(),
    st.sampled_from([sign * 2**63 + near for sign in (-1, 1) for near in (-1, 0, 1)]),
    st.integers(min_value=10**4990, max_value=10**5010),
)
FLOATS = st.one_of(
    st.floats(),
    st.binary(min_size=8, max_size=8).map(lambda data: struct.unpack("d", data)[0]),
    st.builds(math.ldexp, st.integers(0, 2**53).map(float), st.integers(-1074, 900)),
)
SCALARS = st.one_of(st.none(), st.booleans(), INTS, FLOATS, TEXT, st.binary(max_size=20))
TUPLES = st.lists(SCALARS, max_size=10).map(tuple)


class Text(str):
    """A str that is no exact str."""

    __slots__ = ()


class Number(int):
    """An int that is no exact int."""

    __slots__ = ()


REFUSED = st.sampled_from(
    [Text("a"), Number(1), bytearray(b"a"), object(), {1}, 1j, Text, (Text("a"),), [Number(1)]]
)
CELLS = st.one_of(
    SCALARS,
    TUPLES,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.one_of(TEXT, st.integers(0, 3), st.booleans()), SCALARS, max_size=3),
    st.lists(TUPLES, max_size=2).map(tuple),
    REFUSED,
)
FORMATS = st.sampled_from(["tsv", "jsonl"])


def outcome(writer_type, rows, output_format):
    """Return the bytes, the totals and the errors of emitting rows."""
    blocks, errors = [], []
    writer = writer_type(blocks.append, output_format)
    for key, value in rows:
        try:
            writer.emit(key, value)
        except (TypeError, ValueError) as error:
            errors.append((type(error), str(error)))
    totals = writer.finish()
    return b"".join(blocks), totals, errors


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=4), form=FORMATS)
@example(rows=[((1, "a"), ()), ((None,), (float("nan"),))], form="tsv")
@example(rows=[("k", "\ud83d"), ("k", "\udc80"), (1, [])], form="jsonl")
def test_bytes_totals_and_errors_are_those_of_the_reference(rows, form):
    """Any cells, also those that are refused: one bad row changes nothing but itself."""
    native = outcome(PartWriter, rows, form)

    event(f"refused {len(native[2])} of {len(rows)}")
    assert native == outcome(ReferencePartWriter, rows, form)


@given(cells=st.lists(st.one_of(SCALARS, TUPLES), min_size=1), form=FORMATS)
def test_a_column_of_many_types_is_called_what_the_reference_calls_it(cells, form):
    """The join of types depends neither on their order nor on who made the row."""
    rows = [(cell, "v") for cell in cells]

    assert outcome(PartWriter, rows, form) == outcome(ReferencePartWriter, rows, form)


@given(numbers=st.lists(FLOATS, min_size=50, max_size=200))
@example(numbers=[math.ldexp(1.0, exponent) for exponent in range(-1074, 1024)])
@example(numbers=[math.nextafter(math.ldexp(1.0, e), 0.0) for e in range(-1074, 1024)])
@example(numbers=[2.0**49 + quarter / 4 for quarter in range(64)])
@example(numbers=[(2 * half + 1) * 2.0**-places for places in range(3, 30) for half in range(9)])
def test_a_float_is_its_repr(numbers):
    """The shortest digits, of two as near the even ones, and the point where Python puts it."""
    blocks = []
    writer = RowWriter("jsonl", None, blocks.append)
    finite = [number for number in numbers if math.isfinite(number)]

    for number in finite:
        writer.emit(None, number)
    writer.finish()

    assert b"".join(blocks).decode() == "".join(
        f'{{"key":null,"value":{number!r}}}\n' for number in finite
    )


@given(key=st.one_of(SCALARS, TUPLES), value=st.one_of(SCALARS, TUPLES), form=FORMATS)
def test_an_encoded_pair_is_written_as_what_it_encodes_or_not_at_all(key, value, form):
    """A native reduction writes the same bytes as a reducer in Python."""
    encoded = encode_key(key), encode_value(value)
    pair = decode_key(encoded[0]), decode_value(encoded[1])
    blocks = []
    writer = PartWriter(blocks.append, form)

    written = writer.rows.emit_encoded(*encoded)

    totals = writer.finish()
    event(f"plain: {written}")
    expected = outcome(ReferencePartWriter, [pair] if written else [], form)
    assert (b"".join(blocks), totals, []) == expected
    assert written or any(map(is_not_plain, (key, value))) or isinstance(value, tuple)


def is_not_plain(cell):
    """Tell whether an encoded cell may be left to Python."""
    cells = cell if isinstance(cell, tuple) else (cell,)
    return len(cells) > 8 or any(
        (type(part) is int and part.bit_length() > 63)
        or (
            isinstance(part, str)
            and ("\x00" in part or any("\ud800" <= c <= "\udfff" for c in part))
        )
        or (isinstance(part, bytes) and b"\x00" in part)
        for part in cells
    )


@given(key=st.binary(max_size=24), value=st.binary(max_size=24), form=FORMATS)
def test_bytes_that_encode_nothing_are_never_trusted(key, value, form):
    """Whatever the bytes: a row is written, or it is not, and the part can be finished."""
    blocks = []
    writer = PartWriter(blocks.append, form)

    written = writer.rows.emit_encoded(key, value)

    assert writer.finish().records == written
    assert b"".join(blocks).count(b"\n") == written
