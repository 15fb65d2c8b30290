"""Numbers for people."""

import pytest

from pymr.observe.quantity import (
    show_count,
    show_duration,
    show_elapsed,
    show_many,
    show_percent,
    show_size,
    show_size_of,
)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (9_960, "10 kB"),
        (18_400_000_000, "18.4 GB"),
        (96_000_000, "96 MB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (99_949_999, "99.9 MB"),
        (99_950_000, "100 MB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_bytes_have_three_digits_and_a_decimal_unit(size, shown):
    """Never `1000 kB`, never `100.0 MB`."""
    assert show_size(size) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (412, "412"),
        (99_999, "99,999"),
        (100_000, "100 k"),
        (181_004_113, "181 M"),
        (3_900_000, "3.9 M"),
    ],
)
def test_counts_are_exact_while_that_is_readable(number, shown):
    """Six digits and more are rounded to three."""
    assert show_count(number) == shown


def test_both_sides_of_a_fraction_have_the_unit_of_the_total():
    """`900 MB of 18.4 GB` is `0.9/18.4 GB`."""
    assert show_size_of(13_100_000_000, 18_400_000_000) == "13.1/18.4 GB"
    assert show_size_of(900_000_000, 18_400_000_000) == "0.9/18.4 GB"
    assert show_size_of(0, 5) == "0/5 B"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "0:00"), (58.4, "0:58"), (59.6, "1:00"), (7509, "2:05:09")]
)
def test_durations_are_minutes_and_seconds(seconds, shown):
    """Hours only where there are some."""
    assert show_duration(seconds) == shown


def test_a_short_time_has_tenths_of_a_second():
    """`0:00` would say nothing."""
    assert (show_elapsed(0.42), show_elapsed(9.9), show_elapsed(58.4)) == ("0.4 s", "9.9 s", "0:58")


def test_one_thing_has_no_plural():
    """`1 file`, `2 files`."""
    assert (show_many(1, "file"), show_many(2, "file")) == ("1 file", "2 files")


def test_a_hundred_percent_is_the_whole_only():
    """999 of 1000 is not all."""
    assert (show_percent(999, 1000), show_percent(5, 5)) == ("99 %", "100 %")
