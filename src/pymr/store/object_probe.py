"""What an object store can really do, found by doing it.

The protocol of a run asks one thing of a store that not every store does: of two who create an
object, or replace one of the same version, one wins. That is tried by many writers at once, again
and again. The rest is what anybody takes for granted: what was written is read, whole, at once, and
listed.

A pass is evidence, not proof: a store that errs once in a thousand times may pass. What fails here
has failed for certain.

    SAFE                  all of it
    SAFE-SINGLE-MASTER    data is safe, races are not: fine as long as nobody else writes the output
    UNSAFE                what was written is not always what is read
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Final, Literal, TypeVar

import msgspec

from pymr.errors import (
    ObjectExistsError,
    ObjectMissingError,
    PymrError,
    StoreError,
    UnsafeStoreError,
)
from pymr.names import new_nonce, probe_prefix
from pymr.store.base import VersionedStore

Verdict = Literal["SAFE", "SAFE-SINGLE-MASTER", "UNSAFE"]

WRITERS_MAX: Final = 16  # that race for one object
ROUNDS_MAX: Final = 100  # of each race, and of what is written and read …
_ROUNDS_LEAST: Final = 10
PROBE_TURN_S: Final = 1.5  # … or as many as there is time for: a store far away gets fewer
LISTED_MAX: Final = 1_025  # keys: more than S3 tells in one answer
_PARTS_BYTES: Final = 17 << 20  # three parts of an upload

_ORDER: Final[tuple[Verdict, ...]] = ("SAFE", "SAFE-SINGLE-MASTER", "UNSAFE")
_Item = TypeVar("_Item")


class Trait(msgspec.Struct, frozen=True):
    """One thing that was tried; `verdict` is what it leaves of the store's."""

    name: str
    verdict: Verdict
    text: str


class Probed(msgspec.Struct, frozen=True):
    """What is known of a store; `when` in Unix seconds."""

    traits: tuple[Trait, ...]
    when: float

    @property
    def verdict(self) -> Verdict:
        """The worst of all traits."""
        return max((trait.verdict for trait in self.traits), key=_ORDER.index, default="SAFE")

    @property
    def reason(self) -> str | None:
        """The first trait that is as bad as the verdict; None: it is safe."""
        bad = [trait for trait in self.traits if trait.verdict == self.verdict != "SAFE"]
        return f"{bad[0].name}: {bad[0].text}" if bad else None


class _FlawError(Exception):
    """The store did something else than it must. The message says what."""


class _Turn:
    """One thing that is tried: where, by whom, and for how long."""

    def __init__(self, store: VersionedStore, folder: str, pool: ThreadPoolExecutor) -> None:
        self.store = store
        self._folder = folder
        self._pool = pool

    def key(self, name: str) -> str:
        """Return a key of this probe's own."""
        return f"{self._folder}/{name}"

    def rounds(self) -> Iterator[int]:
        """Yield the numbers of rounds: all, or those that there is time for."""
        end = time.monotonic() + PROBE_TURN_S
        for number in range(ROUNDS_MAX):
            if number >= _ROUNDS_LEAST and time.monotonic() > end:
                return
            yield number

    def all_at_once(self, work: Callable[[int], _Item]) -> list[_Item]:
        """Let all writers do `work` at the same time, each with its number."""
        barrier = Barrier(WRITERS_MAX)

        def begin(writer: int) -> _Item:
            barrier.wait()
            return work(writer)

        return list(self._pool.map(begin, range(WRITERS_MAX)))

    def each(self, work: Callable[[int], object], count: int) -> None:
        """Do `work` so many times, side by side."""
        for _ in self._pool.map(work, range(count)):
            pass


def probe_objects(store: VersionedStore) -> Probed:
    """Return what a store does, tried in a folder of its own that is removed. Some 5 to 10 s.

    Raises:
        StoreError: it cannot be reached, or used at all.
    """
    folder = probe_prefix(new_nonce())
    store.replace(f"{folder}/reached", b"PyMR looks whether a store can be used.\n")
    with ThreadPoolExecutor(WRITERS_MAX, "probe") as pool:
        try:
            turn = _Turn(store, folder, pool)
            traits = tuple(_try(name, worst, work, turn) for name, worst, work in _TRIED)
        finally:
            with suppress(PymrError):
                store.delete_folder(folder)
    return Probed(traits, time.time())


def _try(name: str, worst: Verdict, work: Callable[[_Turn], str], turn: _Turn) -> Trait:
    try:
        return Trait(name, "SAFE", work(turn))
    except _FlawError as flaw:
        return Trait(name, worst, str(flaw))
    except StoreError as error:
        return Trait(name, "UNSAFE", error.message)


# -- one wins --------------------------------------------------------------------------------


def _create(turn: _Turn) -> str:
    store, key = turn.store, turn.key("created")
    store.put_if_absent(key, b"first")
    if _wins(lambda: store.put_if_absent(key, b"second")) or store.get(key) != b"first":
        raise _FlawError("an object that exists was created again: If-None-Match is ignored")
    return "an object that exists is not created again"


def _race_to_create(turn: _Turn) -> str:
    def race(number: int) -> tuple[str, Callable[[bytes], None]]:
        key = turn.key(f"race-{number}")
        return key, lambda body: turn.store.put_if_absent(key, body)

    return _race(turn, race, "create")


def _replace_if(turn: _Turn) -> str:
    store, key = turn.store, turn.key("replaced")
    store.replace(key, b"first")
    version = store.get_versioned(key)[1]
    if not version:
        raise _FlawError("it gives no ETag, which tells versions apart")
    if not _wins(lambda: store.replace_if(key, b"second", version)):
        raise _FlawError("an object that nobody has changed was not replaced: If-Match is refused")
    if _wins(lambda: store.replace_if(key, b"third", version)) or store.get(key) != b"second":
        raise _FlawError("an object of another version was replaced: If-Match is ignored")
    missing = turn.key("missing")
    if _wins(lambda: store.replace_if(missing, b"first", version)):
        raise _FlawError("an object that is not there was replaced: If-Match is ignored")
    return "an object of another version is not replaced"


def _race_to_replace(turn: _Turn) -> str:
    key = turn.key("versions")
    turn.store.replace(key, b"before")

    def race(_: int) -> tuple[str, Callable[[bytes], None]]:
        version = turn.store.get_versioned(key)[1]
        return key, lambda body: turn.store.replace_if(key, body, version)

    return _race(turn, race, "replace")


def _race(
    turn: _Turn, begin: Callable[[int], tuple[str, Callable[[bytes], None]]], verb: str
) -> str:
    """Let writers race in each round for the key that it begins with; one must win."""
    rounds, race = 0, f"of {WRITERS_MAX} that {verb} one object at once"
    for number in turn.rounds():
        key, write = begin(number)
        winners = _winners(turn, number, write)
        if len(winners) != 1:
            told = f"{len(winners)} were told that they had, expected one"
            raise _FlawError(f"{race} {told} (round {number + 1})")
        if turn.store.get(key) != winners[0]:
            raise _FlawError(
                f"{race} one was told that it had, and another had (round {number + 1})"
            )
        rounds += 1
    return f"of {WRITERS_MAX} at once one wins, in {rounds} rounds"


def _winners(turn: _Turn, number: int, write: Callable[[bytes], None]) -> list[bytes]:
    bodies = [b"%d in round %d" % (writer, number) for writer in range(WRITERS_MAX)]
    won = turn.all_at_once(lambda writer: _wins(lambda: write(bodies[writer])))
    return [body for body, has_won in zip(bodies, won, strict=True) if has_won]


def _wins(write: Callable[[], object]) -> bool:
    try:
        write()
    except (ObjectExistsError, ObjectMissingError, UnsafeStoreError):
        return False  # Unsafe: the store took the bytes, and gave others.
    return True


# -- what is written is read -----------------------------------------------------------------


def _read_after_write(turn: _Turn) -> str:
    rounds = 0
    for number in turn.rounds():
        key, body = turn.key(f"fresh-{number}"), b"%d" % number
        if _found(turn, key) is not None:
            raise _FlawError("an object is there before it was written")
        turn.store.replace(key, body)
        if not _all_read(turn, key, body):
            raise _FlawError("what was written is not there at once")
        rounds += 1
    return f"what was written is there at once, {rounds} times"


def _all_read(turn: _Turn, key: str, body: bytes) -> bool:
    return all(found == body for found in turn.all_at_once(lambda _: _found(turn, key)))


def _overwrite(turn: _Turn) -> str:
    key, rounds = turn.key("overwritten"), 0
    for number in turn.rounds():
        body = b"%d" % number
        turn.store.replace(key, body)
        if not _all_read(turn, key, body):
            raise _FlawError("an object that was replaced is read as it was before")
        rounds += 1
    return f"what was replaced is read as it is now, {rounds} times"


def _delete(turn: _Turn) -> str:
    key = turn.key("deleted")
    turn.store.replace(key, b"here")
    turn.store.delete(key)
    turn.store.delete(key)
    if _found(turn, key) is not None:
        raise _FlawError("an object that was deleted is still there")
    return "what was deleted is gone"


def _parts(turn: _Turn) -> str:
    """An upload in parts: whole, and read in ranges across them; or dropped, and nowhere."""
    store, key, dropped = turn.store, turn.key("parts"), turn.key("dropped")
    body = _pattern(_PARTS_BYTES)
    with store.create(key) as writer:
        writer.write(body)
        writer.commit()
    if store.size(key) != len(body) or store.get(key) != body:
        raise _FlawError("an object of several parts is not what was written")
    for start in (0, 1, (8 << 20) - 5, len(body) - 7):
        if store.get_range(key, start, 1_000) != body[start : start + 1_000]:
            raise _FlawError(f"a range at {start} is not what was written there")
    with store.create(dropped) as writer:
        writer.write(body[: 9 << 20])
    if _found(turn, dropped) is not None:
        raise _FlawError("an upload that was dropped is an object")
    return "in parts and in ranges, what is read is what was written"


def _listing(turn: _Turn) -> str:
    folder = turn.key("listed")
    names = [f"{folder}/{number:04d}" for number in range(LISTED_MAX)]
    turn.each(lambda number: turn.store.replace(names[number], b""), LISTED_MAX)
    _expect(names, turn, folder, "were written")
    turn.store.delete_folder(folder)
    _expect([], turn, folder, "are left of those that were deleted")
    return f"{LISTED_MAX:,} objects are listed as soon as they are there"


def _expect(names: Iterable[str], turn: _Turn, folder: str, what: str) -> None:
    listed, wanted = [entry.key for entry in turn.store.list(folder)], list(names)
    if listed != wanted:
        raise _FlawError(f"{len(listed):,} objects are listed where {len(wanted):,} {what}")


def _found(turn: _Turn, key: str) -> bytes | None:
    try:
        return turn.store.get(key)
    except ObjectMissingError:
        return None


def _pattern(size: int) -> bytes:
    """Return bytes of which no two places look alike."""
    return b"".join(b"%08x" % number for number in range(size // 8))


_TRIED: Final[tuple[tuple[str, Verdict, Callable[[_Turn], str]], ...]] = (
    ("create", "SAFE-SINGLE-MASTER", _create),
    ("race to create", "SAFE-SINGLE-MASTER", _race_to_create),
    ("replace", "SAFE-SINGLE-MASTER", _replace_if),
    ("race to replace", "SAFE-SINGLE-MASTER", _race_to_replace),
    ("read", "UNSAFE", _read_after_write),
    ("overwrite", "UNSAFE", _overwrite),
    ("delete", "UNSAFE", _delete),
    ("parts", "UNSAFE", _parts),
    ("listing", "UNSAFE", _listing),
)
