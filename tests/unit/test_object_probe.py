"""A probe of object stores finds each flaw, and no other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import flawed_stores as flawed
from pymr.errors import StoreError
from pymr.store import object_probe, safety
from pymr.store.access import Access, Address
from pymr.store.object_probe import Probed, Trait, Verdict, probe_objects

ADDRESS, ACCESS = Address("s3", "bucket", "prefix"), Access(endpoint="http://store:9000")
SAFE = Probed((Trait("create", "SAFE", "well"),), when=0.0)
RACY = Probed((Trait("create", "SAFE-SINGLE-MASTER", "two were told"),), when=0.0)
UNSAFE = Probed((*RACY.traits, Trait("read", "UNSAFE", "not at once")), when=0.0)

FLAWS: list[tuple[type[flawed.GoodStore], set[str], Verdict, str]] = [
    (flawed.CreatesAgain, {"create", "race to create"}, "SAFE-SINGLE-MASTER", "If-None-Match is"),
    (flawed.CreatesTwice, {"race to create"}, "SAFE-SINGLE-MASTER", "were told that they had"),
    (flawed.CreatesForNobody, {"race to create"}, "SAFE-SINGLE-MASTER", "0 were told"),
    (flawed.TellsAnother, {"race to create"}, "SAFE-SINGLE-MASTER", "another had"),
    (flawed.HasNoVersions, {"replace", "race to replace"}, "SAFE-SINGLE-MASTER", "no ETag"),
    (flawed.ReplacesAnything, {"replace", "race to replace"}, "SAFE-SINGLE-MASTER", "version was"),
    (flawed.ReplacesWhatIsMissing, {"replace"}, "SAFE-SINGLE-MASTER", "is not there was replaced"),
    (flawed.ReplacesNothing, {"replace", "race to replace"}, "SAFE-SINGLE-MASTER", "is refused"),
    (flawed.ReplacesTwice, {"race to replace"}, "SAFE-SINGLE-MASTER", "were told that they had"),
    (flawed.ForgetsAtFirst, {"read"}, "UNSAFE", "is not there at once"),
    (flawed.KnowsTooMuch, {"read"}, "UNSAFE", "before it was written"),
    (flawed.DeletesNothing, {"delete"}, "UNSAFE", "is still there"),
    (flawed.CutsRanges, {"parts"}, "UNSAFE", "a range at 1"),
    (flawed.CutsParts, {"parts"}, "UNSAFE", "is not what was written"),
    (flawed.ShowsWhatWasDropped, {"parts"}, "UNSAFE", "dropped is an object"),
    (flawed.RefusesParts, {"parts"}, "UNSAFE", "not implemented"),
    (flawed.ListsOnePage, {"listing"}, "UNSAFE", "1,000 objects are listed where 1,025"),
    (flawed.ListsTheDeleted, {"listing"}, "UNSAFE", "1,025 objects are listed where 0"),
]


@pytest.fixture(autouse=True)
def _few_rounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong each time is found in the first round; only a race needs many."""
    if "Twice" not in request.node.name:
        monkeypatch.setattr(object_probe, "PROBE_TURN_S", 0.0)


def bad(probed: Probed) -> set[str]:
    return {trait.name for trait in probed.traits if trait.verdict != "SAFE"}


def test_a_good_store_is_safe_and_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found, and nothing stays."""
    monkeypatch.setattr(object_probe, "PROBE_TURN_S", 60.0)
    store = flawed.GoodStore()

    probed = probe_objects(store)

    assert (probed.verdict, probed.reason, bad(probed)) == ("SAFE", None, set())
    assert "in 100 rounds" in {t.name: t.text for t in probed.traits}["race to create"]
    assert list(store.list("")) == []


@pytest.mark.parametrize(("store", "traits", "verdict", "says"), FLAWS)
def test_a_flaw_is_found_and_told(
    store: type[flawed.GoodStore], traits: set[str], verdict: Verdict, says: str
) -> None:
    """What is flawed, and what it leaves of the store; the rest is tried and well."""
    probed = probe_objects(store())

    assert bad(probed) == traits
    assert probed.verdict == verdict
    assert says in str(probed.reason)


def test_a_cache_that_gives_the_old_is_unsafe() -> None:
    """It spoils the races, too."""
    probed = probe_objects(flawed.ReadsTheOld())

    assert "overwrite" in bad(probed)
    assert probed.verdict == "UNSAFE"


def test_a_store_that_is_far_away_gets_fewer_rounds() -> None:
    """But some."""
    probed = probe_objects(flawed.GoodStore())

    assert "one wins, in 10 rounds" in {t.name: t.text for t in probed.traits}["race to create"]


# -- what is refused -------------------------------------------------------------------------


@pytest.fixture
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.usefixtures("_state")
def test_f51_a_store_that_ignores_if_none_match_is_refused_before_any_work() -> None:
    """Unless the user says that nobody else works there; it is probed once a day."""
    store = flawed.CreatesAgain()

    with pytest.raises(StoreError, match=r"SAFE-SINGLE-MASTER: create: .* is ignored") as refused:
        safety.refuse_unsafe(store, ADDRESS, ACCESS)

    assert refused.value.exit_code == 5
    assert "pymr doctor --store s3://bucket" in str(refused.value.hint)
    assert "--allow-unsafe-store" in str(refused.value.hint)
    kept = safety.kept(ADDRESS, ACCESS)
    safety.refuse_unsafe(store, ADDRESS, ACCESS, is_single_allowed=True)
    assert safety.kept(ADDRESS, ACCESS) == kept


@pytest.mark.usefixtures("_state")
def test_a_store_that_loses_what_was_written_is_refused_whatever_the_user_says() -> None:
    """No number of masters is safe there."""
    with pytest.raises(StoreError, match="UNSAFE: delete") as refused:
        safety.refuse_unsafe(flawed.DeletesNothing(), ADDRESS, ACCESS, is_single_allowed=True)

    assert "--allow-unsafe-store" not in str(refused.value.hint)


@pytest.mark.usefixtures("_state")
def test_what_was_found_is_of_one_endpoint_and_bucket_and_for_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not of another one's; and what cannot be read was never found."""
    now = 1e9
    monkeypatch.setattr(time, "time", lambda: now)
    safety.keep(ADDRESS, ACCESS, Probed(SAFE.traits, now))

    assert safety.kept(Address("s3", "bucket", "elsewhere"), ACCESS) is not None
    assert safety.kept(Address("s3", "bucket-2", "prefix"), ACCESS) is None
    assert safety.kept(ADDRESS, Access(endpoint="http://other:9000")) is None
    now += safety.PROBE_KEPT_S
    assert safety.kept(ADDRESS, ACCESS) is None


@pytest.mark.usefixtures("_state")
def test_a_damaged_file_or_a_home_that_cannot_be_written_costs_a_probe_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a hint."""
    safety.keep(ADDRESS, ACCESS, SAFE)
    [file] = (tmp_path / "state/pymr/stores").iterdir()
    file.write_bytes(b"{")
    assert safety.kept(ADDRESS, ACCESS) is None

    monkeypatch.setenv("XDG_STATE_HOME", str(file))
    safety.refuse_unsafe(flawed.GoodStore(), ADDRESS, ACCESS)
    assert safety.kept(ADDRESS, ACCESS) is None


def test_the_worst_trait_is_the_verdict() -> None:
    """And its reason."""
    assert (SAFE.verdict, RACY.verdict, UNSAFE.verdict) == ("SAFE", "SAFE-SINGLE-MASTER", "UNSAFE")
    assert UNSAFE.reason == "read: not at once"
    safety.refuse_unsafe(flawed.CreatesAgain(), Address("memory", "m", ""), ACCESS)
