"""What `pymr doctor` says of a store: its clock, and what was tried."""

from __future__ import annotations

import pytest

from pymr.doctor.finding import worst_error
from pymr.doctor.store import clock, traits
from pymr.errors import StoreError
from pymr.store.object_probe import Probed, Trait

WELL = Trait("create", "SAFE", "well")
RACY = Trait("race to create", "SAFE-SINGLE-MASTER", "two were told")
LOST = Trait("read", "UNSAFE", "not there at once")


@pytest.mark.parametrize("offset_s", [None, 0.4, -1.0, 300.0, -300.0])
def test_a_clock_that_agrees_well_enough_is_fine(offset_s: float | None) -> None:
    """Or one that nobody knows: requests were taken."""
    assert clock(offset_s).level == "ok"


@pytest.mark.parametrize(("offset_s", "way"), [(301.0, "5:01 ahead of"), (-3601, "1:00:01 behind")])
def test_a_clock_that_is_far_off_is_a_warning(offset_s: float, way: str) -> None:
    """Before the store refuses everything."""
    found = clock(offset_s)

    assert found.level == "warning"
    assert found.text.startswith(f"{way} this machine's")
    assert found.remedy == "timedatectl set-ntp true"


def test_a_safe_store_is_fine_in_each_trait() -> None:
    """And no error stands for it."""
    found = list(traits(Probed((WELL,), 0.0)))

    assert [each.level for each in found] == ["ok", "ok"]
    assert found[-1].text.startswith("SAFE: ")
    assert worst_error(found) is None


@pytest.mark.parametrize(
    ("bad", "verdict", "is_allowed"),
    [((RACY,), "SAFE-SINGLE-MASTER", True), ((RACY, LOST), "UNSAFE", False)],
)
def test_a_store_that_is_not_safe_is_exit_5_with_its_reason(
    bad: tuple[Trait, ...], verdict: str, *, is_allowed: bool
) -> None:
    """Only of one that is safe for one master the user may say that there is but one."""
    found = list(traits(Probed((WELL, *bad), 0.0)))

    last = found[-1]
    assert last.text == f"{verdict}: {bad[-1].name}: {bad[-1].text}"
    assert ("--allow-unsafe-store" in str(last.remedy)) == is_allowed
    assert isinstance(worst_error(found), StoreError)
