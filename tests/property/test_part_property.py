"""What is emitted into a part is read back exactly, or the column says that it is mixed."""

import json
from math import isnan

from hypothesis import given
from hypothesis import strategies as st

from pymr.records.part import PartWriter, read_rows

TEXT = st.one_of(
    st.text(),
    st.text(alphabet='\t\n\\\r"tn,[]{}é\x00'),
    st.binary().map(lambda data: data.decode(errors="surrogateescape")),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**4990, max_value=10**5010),
    st.floats(),
    TEXT,
    st.binary(),
)
KEYS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXT, inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=3),
    ),
    max_leaves=8,
)
FORMATS = st.sampled_from(["tsv", "jsonl"])


def same(a, b):
    """Tell whether two values have the same types and content, NaN being like NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (isnan(a) and isnan(b)) or repr(a) == repr(b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return a == b


def refuse(constant):
    """Fail on a bare NaN or Infinity."""
    raise AssertionError(constant)


def write(rows, output_format):
    """Write one part; return its bytes and totals."""
    chunks = []
    writer = PartWriter(chunks.append, output_format)
    for key, value in rows:
        writer.emit(key, value)
    totals = writer.finish()
    return b"".join(chunks), totals


def cut(data, size):
    """Cut bytes into chunks of `size`."""
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(rows=st.lists(st.tuples(KEYS, VALUES), max_size=3), form=FORMATS, size=st.integers(1, 99))
def test_every_cell_of_a_typed_column_comes_back_exactly(rows, form, size):
    """Same type, same value, whatever the type; mixed columns come back row by row too."""
    data, totals = write(rows, form)

    read = list(read_rows(cut(data, size), form, totals.key_type, totals.value_type))

    assert len(read) == len(rows) == totals.records
    for wrote, got in zip(rows, read, strict=True):
        assert totals.key_mixed or same(wrote[0], got[0])
        assert totals.value_mixed or same(wrote[1], got[1])


@given(value=VALUES, form=FORMATS)
def test_one_scalar_alone_is_never_mixed(value, form):
    """Liveness: a column is not called mixed to be on the safe side."""
    _, totals = write([("k", value)], form)

    assert totals.value_type is not None or isinstance(value, (list, tuple, dict))


@given(rows=st.lists(st.tuples(TEXT, st.binary()), min_size=1), form=FORMATS)
def test_text_and_bytes_columns_are_typed_and_exact(rows, form):
    """B75 and B59: every byte value, tabs, newlines, backslashes and bytes that are no text."""
    data, totals = write(rows, form)

    assert (totals.key_type, totals.value_type) == ("str", "bytes")
    assert list(read_rows([data], form, "str", "bytes")) == rows
    assert data.count(b"\n") == len(rows)


@given(rows=st.lists(st.tuples(KEYS, VALUES), max_size=3))
def test_jsonl_is_strict_json_for_any_reader(rows):
    """Valid UTF-8, one object a line, no NaN."""
    data, _ = write(rows, "jsonl")

    lines = data.decode("utf-8").split("\n")

    assert lines.pop() == ""
    for line in lines:
        row = json.loads(line, parse_int=str, parse_constant=refuse)
        assert list(row) == ["key", "value"]


def test_every_byte_value_comes_back():
    """B75, by example."""
    everything = bytes(range(256))
    rows = [(everything, everything), (b"", b"\t\n\\")]

    for form in ("tsv", "jsonl"):
        data, _ = write(rows, form)
        assert list(read_rows([data], form, "bytes", "bytes")) == rows
