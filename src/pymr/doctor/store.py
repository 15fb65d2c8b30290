"""An object store: whether it can be reached, and whether a run is safe there."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pymr.doctor.finding import Area, Finding
from pymr.errors import PymrError, StoreError
from pymr.observe.quantity import show_duration
from pymr.store.access import Access, parse_address
from pymr.store.clock_offset import clock_offset_s
from pymr.store.object_probe import Probed
from pymr.store.safety import SINGLE_MASTER, probe

STORE_WAIT_S = 20.0  # a store that is to be looked at is not waited for as long as by a run
CLOCK_S_MAX = 300.0  # a third of what S3 bears with

_AREA = Area("store")


def examine_store(place: str, access: Access) -> Iterator[Finding]:
    """Yield what the store at an address does; it is written to, and left as it was."""
    address = parse_address(place)
    wait_s = min(access.storage_wait_s, STORE_WAIT_S)
    access = msgspec.structs.replace(access, storage_wait_s=wait_s)
    where = f" at {access.told_endpoint}" if access.told_endpoint else ""
    yield _AREA.ok("address", f"{place}{where}")
    yield clock(clock_offset_s(address, access))
    try:
        probed = probe(place, access)
    except PymrError as error:
        yield _AREA.broken("access", error.message, error.hint, type(error))
    else:
        yield from traits(probed)


def clock(offset_s: float | None) -> Finding:
    """Return whether the clocks of the store and of this machine agree."""
    if offset_s is None:
        return _AREA.ok("clock", "it does not say what time it is")
    if abs(offset_s) <= CLOCK_S_MAX:
        return _AREA.ok("clock", "the same as here, within some seconds or minutes")
    way = "ahead of" if offset_s > 0 else "behind"
    return _AREA.warning(
        "clock",
        f"{show_duration(abs(offset_s))} {way} this machine's: from 15 min on all is refused",
        "timedatectl set-ntp true",
    )


def traits(probed: Probed) -> Iterator[Finding]:
    """Yield each thing that was tried, and what it comes to."""
    remedy = "use another store, or a later version of it"
    for trait in probed.traits:
        if trait.verdict == "SAFE":
            yield _AREA.ok(trait.name, trait.text)
        else:
            yield _AREA.broken(trait.name, trait.text, None, StoreError)
    if probed.verdict == "SAFE":
        yield _AREA.ok("verdict", "SAFE: all that was tried was right, which is no proof")
        return
    if probed.verdict == SINGLE_MASTER:
        remedy += "; --allow-unsafe-store if nobody else works on the output"
    yield _AREA.broken("verdict", f"{probed.verdict}: {probed.reason}", remedy, StoreError)
