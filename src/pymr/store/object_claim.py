"""Who owns an output in a store: one object, replaced only by who has seen what it replaces.

    absent ──put if absent──► held by A ──replace if as read──► released ──► held by B …

No time decides: a run that shows no sign of life keeps its claim until it is taken on, or until
the caller knows that it is at its end. Two processes of one run may both hold its claim, one after
the other; which of them goes on is decided by the journal. The object is never removed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NamedTuple, Self

import msgspec

from pymr import failpoint
from pymr.errors import ObjectExistsError, ObjectMissingError, OutputError, StoreError
from pymr.names import CLAIM, new_nonce
from pymr.store.base import VersionedStore
from pymr.store.claim import ClaimRecord, claimed_error
from pymr.text_form import show_path

LOOKS_MAX: Final = 100  # as often as others may be faster


class StoredClaim(ClaimRecord, frozen=True, kw_only=True):
    """What the object holds. The nonce makes each claim other bytes than any before."""

    nonce: str
    released: bool = False


class ObjectClaim:
    """The claim of this process on an output, until `release` or until another takes it over."""

    def __init__(self, objects: VersionedStore, stored: StoredClaim) -> None:
        self._objects = objects
        self._stored = stored

    @classmethod
    def take(
        cls, objects: VersionedStore, place: str, record: ClaimRecord, over: str | None = None
    ) -> Self:
        """Claim the output `place`; the claims of its own run and of the run `over` give way.

        Raises:
            OutputError: another run holds it; the message and fields name it.
            StoreError: the store refuses.
        """
        fields = msgspec.structs.asdict(record)
        claim = cls(objects, StoredClaim(**fields, nonce=new_nonce()))
        for _ in range(LOOKS_MAX):
            found = read_stored_claim(objects, place)
            if found is not None and not found.gives_way(record.run, over):
                raise claimed_error(place, found.claim)
            failpoint.hit("commit.claim")
            with suppress(ObjectExistsError):  # Somebody was faster: look who.
                claim._write(claim._stored, found)
                return claim
        raise claimed_error(place, None)

    def release(self) -> None:
        """Give the output up, unless another has taken it over. May be called twice.

        Best effort: what a claim that stays says is right, that its run was the last one here.
        """
        with suppress(StoreError, OutputError):
            found = read_stored_claim(self._objects, "")
            if found is not None and found.claim == self._stored:
                self._write(msgspec.structs.replace(self._stored, released=True), found)

    def _write(self, stored: StoredClaim, found: FoundClaim | None) -> None:
        body = msgspec.json.encode(stored)
        if found is None:
            self._objects.put_if_absent(CLAIM, body)
        else:
            self._objects.replace_if(CLAIM, body, found.version)


class FoundClaim(NamedTuple):
    """A claim as it was read."""

    claim: StoredClaim
    version: str

    def gives_way(self, run: str, over: str | None) -> bool:
        """Say whether `run` may take its place."""
        return self.claim.released or self.claim.run in (run, over)


def read_stored_claim(objects: VersionedStore, place: str) -> FoundClaim | None:
    """Return who claims the output `place`, or has released it; None: nobody ever did.

    Raises:
        OutputError: the object holds something else.
        StoreError: it cannot be read.
    """
    try:
        body, version = objects.get_versioned(CLAIM)
        return FoundClaim(msgspec.json.decode(body, type=StoredClaim), version)
    except ObjectMissingError:
        return None
    except msgspec.MsgspecError as error:
        raise OutputError(
            f"output `{show_path(place)}` has a `{CLAIM}` that is no claim: {error}",
            hint="choose another --output",
        ) from error
