"""Values as JSON text, and rows as JSON lines."""

import json
import sys

import pytest

from pymr.records.column import Column
from pymr.records.jsonl import content_reader, int_text, json_text, parse_int, parse_json, row_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-7, "-7"),
        (1.0, "1.0"),
        (1e300, "1e+300"),
        (0.1, "0.1"),
        (float("nan"), '"NaN"'),
        (float("inf"), '"Infinity"'),
        (float("-inf"), '"-Infinity"'),
        ('é\t\n\\"', '"é\\t\\n\\\\\\""'),
        ("\x00\x1b", '"\\u0000\\u001b"'),
        ("\udcff", '"\\udcff"'),
        (b"\x00\xff", '"AP8="'),
        (("a", [1]), '["a",[1]]'),
        (
            {"a": 1, 2: None, (3, True): 4, b"x": 5, 1.5: 6},
            '{"a":1,"2":null,"[3,true]":4,"eA==":5,"1.5":6}',
        ),
    ],
    ids=repr,
)
def test_a_value_has_one_strict_json_text(value, text):
    """Compact, not escaped to ASCII, and read by any JSON reader."""
    assert json_text(value) == text
    json.loads(text, parse_constant=pytest.fail)


def test_a_row_is_an_object_of_key_and_value():
    """One object a line."""
    assert row_text("the", 3, Column("key"), Column("value")) == '{"key":"the","value":3}\n'


@pytest.mark.parametrize(
    "number", [10**5000 - 1, -(10**4999), 3**20000], ids=["nines", "minus", "power"]
)
def test_b51_an_int_of_5000_digits_meets_no_limit(number):
    """Python refuses such texts by default, and its limit stays as it was."""
    limit = sys.get_int_max_str_digits()
    with pytest.raises(ValueError, match="limit"):
        str(number)

    text = int_text(number)

    assert len(text) >= 5000
    assert parse_int(text) == number
    assert parse_json(f"[{text}]") == [number]
    assert sys.get_int_max_str_digits() == limit


@pytest.mark.parametrize("text", ["", "1.5", "9" * 5000 + "x", "1e9"])
def test_what_is_no_int_is_refused(text):
    """The way around the limit accepts nothing else."""
    with pytest.raises(ValueError, match=r"invalid literal|limit"):
        parse_int(text)


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC7F, 0xDD00])
def test_a_lone_surrogate_that_is_no_byte_is_refused_by_name(code):
    """No text file can hold it."""
    with pytest.raises(ValueError, match=rf"U\+{code:04X}"):
        json_text(["é" + chr(code)])


def test_two_keys_of_a_dict_with_one_text_are_refused():
    """A reader of the object would keep one and lose the other in silence."""
    with pytest.raises(ValueError, match="one text, '1'"):
        json_text({1: "a", "1": "b"})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "'a'"])
def test_what_is_not_strict_json_is_refused(text):
    """What was written is strict, so anything else was damaged."""
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        parse_json(text)


def test_content_comes_back_as_the_types_that_the_name_says():
    """Tuples, bytes, NaN and dict keys have no JSON form of their own."""
    read = content_reader("list[tuple[bytes,dict[int,float|nan]]]")

    assert read([["eA==", {"1": 1.5}], ["", {}]]) == [(b"x", {1: 1.5}), (b"", {})]
    assert str(read([["", {"1": "NaN"}]])[0][1][1]) == "nan"
