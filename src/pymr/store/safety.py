"""Whether a store may hold a run, as a probe has found it within the last day.

What a probe has found is kept in a small file of the user's state folder, one for each endpoint,
bucket and version of PyMR: a hint, which may be lost, that saves the seconds of another probe.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress

import msgspec

import pymr
from pymr.errors import UnsafeStoreError
from pymr.store.access import Access, Address, open_store, parse_address
from pymr.store.base import VersionedStore
from pymr.store.object_probe import Probed, probe_objects
from pymr.store.registry import state_folder

PROBE_KEPT_S = 24 * 3600.0
SINGLE_MASTER = "SAFE-SINGLE-MASTER"


def refuse_unsafe(
    store: VersionedStore, address: Address, access: Access, *, is_single_allowed: bool = False
) -> None:
    """Refuse a store on which a run may go wrong; it is probed, unless it was within a day.

    `is_single_allowed`: the user knows that no two processes will work on an output there.

    Raises:
        UnsafeStoreError: it is not safe.
        StoreError: it cannot be reached.
    """
    if address.scheme == "memory":
        return  # of this process alone
    probed = kept(address, access)
    if probed is None:
        probed = probe_objects(store)
        keep(address, access, probed)
    if probed.verdict == "SAFE" or (is_single_allowed and probed.verdict == SINGLE_MASTER):
        return
    place = f"{address.scheme}://{address.bucket}"
    hint = f"pymr doctor --store {place}"
    if probed.verdict == SINGLE_MASTER:
        hint += "   says more; --allow-unsafe-store if nobody else works on this output"
    raise UnsafeStoreError(f"{place} is {probed.verdict}: {probed.reason}", hint=hint)


def probe(place: str, access: Access) -> Probed:
    """Return what the store at an address does, tried now; and keep it.

    Raises:
        StoreError: it cannot be reached, or used at all.
    """
    address = parse_address(place)
    probed = probe_objects(open_store(place, access))  # type: ignore[arg-type]
    keep(address, access, probed)
    return probed


def kept(address: Address, access: Access) -> Probed | None:
    """Return what was found of a store within the last day, if anything was."""
    with suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
        with open(_path(address, access), "rb") as file:
            probed = msgspec.json.decode(file.read(), type=Probed)
        if 0 <= time.time() - probed.when < PROBE_KEPT_S:
            return probed
    return None


def keep(address: Address, access: Access, probed: Probed) -> None:
    """Remember what was found. Best effort: a read-only home must not stop a job."""
    path = _path(address, access)
    with suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.{os.getpid()}", "wb") as file:
            file.write(msgspec.json.encode(probed))
        os.replace(file.name, path)


def _path(address: Address, access: Access) -> str:
    known = "\n".join((address.scheme, address.bucket, access.endpoint or "", pymr.__version__))
    name = hashlib.sha256(known.encode()).hexdigest()[:32]
    return os.path.join(os.path.dirname(state_folder()), "stores", f"{name}.json")
