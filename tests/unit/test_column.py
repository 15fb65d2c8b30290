"""Column types: names that say how to read a column back exactly."""

from collections import Counter
from itertools import permutations

import pytest

from pymr.records.column import (
    JSON,
    MIXED,
    TYPE_NAME_CHARS_MAX,
    Column,
    join_columns,
    merge_columns,
    parse_type,
    type_name,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (None, "null"),
        (True, "bool"),
        (1, "int"),
        (1.0, "float"),
        ("1", "str"),
        (b"1", "bytes"),
        ((), "tuple[]"),
        (("a", 1), "tuple[str,int]"),
        (("a", (1, None)), "tuple[str,tuple[int,null]]"),
        ([], "list[]"),
        ([1, 2], "list[int]"),
        ([[], [1]], "list[list[int]]"),
        ([1, None, "a", {"b": [2.5]}], "list"),
        ([("doc", 3), ("doc", 4)], "list[tuple[str,int]]"),
        ([("doc", 3), ("doc", None)], "list[tuple[str,json]]"),
        ([NAN, 1.0], "list[float|nan]"),
        ({}, "dict[]"),
        ({"a": 1}, "dict[str,int]"),
        ({"a": 1, "b": "x"}, "dict"),
        ({(1, 2): b"x"}, "dict[tuple[int,int],bytes]"),
    ],
)
def test_a_cell_has_the_narrowest_type_name(cell, name):
    """The name describes the cell and all it holds."""
    assert type_name(cell) == name


@pytest.mark.parametrize(
    "cell",
    [
        [b"", 1],
        [(1,), [1]],
        [(1,), (1, 2)],
        [NAN, 1],
        {1: "a", "2": "b"},
        [{1: 1}, {"a": 1}],
        ([b"", ""],),
        tuple(range(TYPE_NAME_CHARS_MAX)),
    ],
    ids=repr,
)
def test_a_cell_that_no_name_describes_exactly_is_mixed(cell):
    """Its JSON text does not tell which element was which."""
    assert type_name(cell) == MIXED


@pytest.mark.parametrize(
    ("cell", "role", "words"),
    [
        (Counter(), "value", ["`Counter`", "`dict(value)`"]),
        ({1}, "value", ["`set`", "`sorted(value)`"]),
        (1j, "value", ["`complex`", "convert it"]),
        ((1, [object()]), "value", ["`object`"]),
        ([1], "key", ["`list`", "`tuple(key)`"]),
        ((1, [1]), "key", ["`list`", "`tuple(key)`"]),
        ({}, "key", ["`dict`", "`tuple(sorted(key.items()))`"]),
    ],
    ids=["counter", "set", "complex", "object in a list", "list", "list in a tuple", "dict"],
)
def test_a_cell_without_a_text_form_is_refused_by_type_with_a_hint(cell, role, words):
    """The message names the type and the call that would do."""
    with pytest.raises(TypeError) as caught:
        type_name(cell, role)

    assert f"a {role} of an output row" in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_a_cell_that_holds_itself_is_refused():
    """It would never end."""
    cell: list[object] = []
    cell.append(cell)

    with pytest.raises(ValueError, match="nested too deeply"):
        type_name(cell)


@pytest.mark.parametrize(
    ("a", "b", "joined"),
    [
        ("int", "int", "int"),
        ("int", "str", MIXED),
        ("int", "float", MIXED),
        ("int", "null", MIXED),
        ("list[int]", "dict", MIXED),
        ("float", "float|nan", "float|nan"),
        ("list[]", "list[bytes]", "list[bytes]"),
        ("list[int]", "list[str]", "list"),
        ("list[int]", "list[bytes]", MIXED),
        ("list[float]", "list[float|nan]", "list[float|nan]"),
        ("list[int]", "list[float|nan]", MIXED),
        ("list", "list[bytes]", MIXED),
        ("tuple[int]", "tuple[int,int]", MIXED),
        ("tuple[str,int]", "tuple[str,str]", "tuple[str,json]"),
        ("dict[]", "dict[int,int]", "dict[int,int]"),
        ("dict[str,int]", "dict[str,list[]]", "dict"),
        ("dict[str,int]", "dict[int,int]", MIXED),
        (MIXED, "int", MIXED),
    ],
)
def test_joined_types_read_back_cells_of_both(a, b, joined):
    """A column has one type only while JSON text can not confuse its cells."""
    assert join_columns(a, b) == joined
    assert join_columns(b, a) == joined


def test_the_order_of_the_cells_does_not_change_the_type_of_the_column():
    """Joining is associative and commutative, so partitioning does not matter."""
    cells = [[], [1], ["a"], [b""], [2.0], [NAN], [(1,)], [{}], [{"a": 1}], [{1: 1}], [[]]]
    names = [type_name(cell) for cell in cells]

    for three in permutations(names, 3):
        joined = {join_columns(join_columns(a, b), c) for a, b, c in permutations(three)}
        assert len(joined) == 1, three


def test_an_empty_column_has_no_type_and_is_not_mixed():
    """No cell contradicts another."""
    column = Column("key")

    assert (column.type_name, column.is_mixed) == (None, False)


def test_a_float_column_with_nan_is_called_float():
    """At the top the text NaN is a float like any other."""
    column = Column("value")
    column.add(type_name(1.5))
    column.add(type_name(NAN))

    assert column.type_name == "float"


@pytest.mark.parametrize(
    ("parts", "merged"),
    [
        ([], (None, False)),
        ([(None, False), ("int", False)], ("int", False)),
        ([("int", False), ("str", False)], (None, True)),
        ([("int", False), (None, True)], (None, True)),
        ([("list[]", False), ("list[int]", False)], ("list[int]", False)),
    ],
)
def test_the_columns_of_parts_merge_into_the_column_of_the_job(parts, merged):
    """A part without rows says nothing; a mixed part makes the whole mixed."""
    assert merge_columns(parts) == merged


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("int", ("int", ())),
        ("list", ("list", (JSON,))),
        ("list[]", ("list", ("",))),
        ("dict", ("dict", ("str", JSON))),
        ("dict[]", ("dict", ("", ""))),
        ("tuple[]", ("tuple", ())),
        (
            "tuple[dict[str,int],list[tuple[int,int]]]",
            ("tuple", ("dict[str,int]", "list[tuple[int,int]]")),
        ),
    ],
)
def test_a_type_name_is_parsed_into_head_and_arguments(name, parsed):
    """Commas inside brackets belong to the argument."""
    assert parse_type(name) == parsed


@pytest.mark.parametrize("name", ["integer", "list[int", "list[int,int]", "dict[int]", "int[]"])
def test_what_is_no_type_name_is_refused(name):
    """A manifest of another version is not guessed at."""
    with pytest.raises(ValueError, match="no column type"):
        parse_type(name)
