"""docs/reliability.md is what the tests are, and each row of one machine has a test or a reason."""

from __future__ import annotations

import reliability
from pymr.failpoint import POINTS


def test_the_page_is_current() -> None:
    """If not: `make docs`, and read the difference."""
    assert reliability.PAGE.read_text("utf-8") == reliability.page()


def test_the_rows_are_all_there_in_order() -> None:
    """F1 to F127, and B1 to B94."""
    rows = reliability.table()["rows"]

    assert set(rows) == {f"F{n}" for n in range(1, 128)} | {f"B{n}" for n in range(1, 95)}
    assert all(len(row) == 2 and all(row) for row in rows.values())


def test_each_row_has_a_test_or_a_reason() -> None:
    """Those on the list `open` have none; who writes a test takes its row off."""
    table = reliability.table()
    without = {
        row
        for row in table["rows"]
        if not reliability.tests_by_row().get(row) and row not in reliability.elsewhere(table)
    }

    assert reliability.sorted_ids(without) == table["open"]["rows"].split()


def test_no_test_names_a_row_that_is_none() -> None:
    """A typing error would prove nothing."""
    table = reliability.table()
    named = {*reliability.tests_by_row(), *reliability.elsewhere(table), *table["by_hand"]}

    assert named <= set(table["rows"])


def test_the_fail_points_of_rows_are_hit() -> None:
    """The crash test is made of the table of fail-points."""
    for points in reliability.table()["points"].values():
        for point in points:
            name, kind = point.split()
            assert kind in POINTS[name], point
