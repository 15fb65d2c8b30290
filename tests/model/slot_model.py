"""The commit protocol in a store, where several lives of one run may work at once.

As `commit_model`, but there is no lock. A life reads the journal, and puts each decision into the
slot behind the last that it knows; a put that finds the slot taken ends the life. A put may land
late, after its life has died, or never. A life hears of attempts that any life has granted, and
attempts outlive theirs. Nothing that is in the store is unsynced.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.commit_model import (
    DEAD,
    DONE,
    GONE,
    NEW,
    REFUSED,
    WHOLE,
    Bounds,
    Model,
    Object,
    Record,
    Step,
    World,
    replayed,
)

# What the code does at the steps that are others than in `commit_model`.
STEPS: dict[str, tuple[str, ...]] = {
    "begin a life": (
        "pymr.store.object_claim.ObjectClaim.take",
        "pymr.store.slot_journal.SlotReader.read",
        "pymr.core.replay.replay",
        "pymr.store.slot_journal.SlotJournal.reopen",
    ),
    "land": (
        "pymr.store.slot_journal.SlotJournal.sync",
        "pymr.store.object_store.ObstoreStore.put_if_absent",
    ),
    "begin again": ("pymr.store.slot_journal.SlotJournal.reopen",),
    "see that it is deposed": (
        "pymr.store.slot_journal.SlotJournal._create",
        "pymr.store.slot_journal.SlotReader.deposed",
    ),
    "remove": ("pymr.runner.life.Life._tidy", "pymr.task.commit.remove_attempts"),
}
_ONE = Bounds(maps=1, reduces=1, zombies=True, losses=0)
# What `make test` explores. Each ends without a broken promise and without a stuck world.
PROVEN = {
    "two lives at once": _ONE._replace(losses=1),
    "two lives at once, mapper that may write two things": _ONE._replace(losses=1, contents=2),
}
# What happens without safeguards.
BROKEN = {
    ("slots",): (
        _ONE._replace(contents=2),
        "the result has read an output that the journal does not name",
    ),
    ("tidy late",): (
        _ONE,
        "the manifest names an object that is not there, or not whole",
    ),
}
_RESUME = Record("resume", 0, 0)


class SlotModel(Model):
    """The steps that are possible in a world whose journal is slots."""

    def first(self) -> World:
        """Return the world in which nothing has happened."""
        lives = self.bounds.lives
        return super().first()._replace(known=((),) * lives, flying=(None,) * lives)

    def steps(self, world: World) -> Iterator[Step]:
        """Yield every step, with the world after it."""
        yield from self.attempts_write(world)
        yield from self.faults(world)
        yield from self.land(world)
        for number, life in enumerate(world.lives):
            if life == NEW:
                yield from self.begin(world, number)  # Whatever the others do.
                break
            if life >= 0 and world.flying[number] is None:
                yield from self.live(world, number)

    def known(self, world: World, life: int) -> tuple[Record, ...]:
        """Return what a life has read of the journal, and put there."""
        return world.known[life]

    def decide(self, world: World, life: int, decision: Record) -> World:
        """Return the world in which a life has sent a decision to its next slot."""
        flying = (*world.flying[:life], decision, *world.flying[life + 1 :])
        return world._replace(flying=flying)

    def hears(self, made: Object, life: int) -> bool:
        """Say whether a life hears of an attempt: workers go on, and report to who asks."""
        return True

    def broken(self, world: World) -> str | None:
        """Return which promise the world breaks."""
        if (promise := super().broken(world)) is not None or world.manifest is None:
            return promise
        committed, _ = replayed(world.journal, self.tasks)
        for task, attempt in enumerate(committed[: self.bounds.maps]):
            for number, part in enumerate(world.manifest):
                read = world.objects[self.bounds.maps + number][part].content
                if attempt is not None and world.objects[task][attempt].content[0] != read[task]:
                    return "the result has read an output that the journal does not name"
        return None

    def begin(self, world: World, life: int) -> Iterator[Step]:
        """Read the journal, and send the record that tells the others to end."""
        if world.manifest is not None:
            yield "see that it is done", self.ended(world, life, DONE)
            return
        begun = self.knows(self.ended(world, life, 0), life, world.journal)
        yield "begin a life", self.decide(begun, life, _RESUME)

    def live(self, world: World, life: int) -> Iterator[Step]:
        """What a life may do next, whose last put has landed."""
        committed, _ = replayed(self.known(world, life), self.tasks)
        if world.manifest is None:
            for task, attempt in enumerate(committed):
                if attempt is not None and world.objects[task][attempt].state != WHOLE:
                    yield "misread", self.decide(world, life, Record("give up", task, attempt))
            if not self.has("tidy late") and (after := self.removed(world, committed)) != world:
                yield "remove", after
        yield from super().live(world, life)

    def publish(self, world: World, life: int, committed: tuple[int | None, ...]) -> Iterator[Step]:
        """Send the manifest, if none is there; then it is read back by `live`."""
        for step, after in super().publish(world, life, committed):
            if step == "publish":
                parts = committed[self.bounds.maps :]
                yield step, self.decide(world, life, Record("publish", 0, parts))  # type: ignore[arg-type]
            else:
                yield step, after

    def land(self, world: World) -> Iterator[Step]:
        """Let a put arrive, whoever has sent it, and whether that one still lives."""
        for life, put in enumerate(world.flying):
            if put is None:
                continue
            after = self.decide(world, life, None)  # type: ignore[arg-type]
            if put.kind == "publish":
                if after.manifest is None:
                    after = after._replace(manifest=put.attempt)  # type: ignore[arg-type]
                yield "land", forgotten(after)
            elif len(world.known[life]) == len(world.journal) or not self.has("slots"):
                journal = (*world.journal, put)
                after = after._replace(journal=journal, synced=len(journal))
                yield "land", forgotten(self.knows(after, life, (*world.known[life], put)))
            elif put == _RESUME:  # Somebody was faster: read again.
                yield "begin again", self.knows(world, life, world.journal)
            else:
                yield "see that it is deposed", self.ended(after, life, DEAD)

    def knows(self, world: World, life: int, records: tuple[Record, ...]) -> World:
        """Return the world in which a life knows these records."""
        return world._replace(known=(*world.known[:life], records, *world.known[life + 1 :]))

    def ended(self, world: World, life: int, how: int) -> World:
        """Return the world in which a life has begun or ended."""
        after = super().ended(world, life, how)
        if how in (DONE, REFUSED):
            after = self.decide(after, life, None)  # type: ignore[arg-type]
        return forgotten(after)

    def removed(self, world: World, kept: tuple[int | None, ...]) -> World:
        """Return the world without what is not needed; receipts still tell what it was."""
        after = super().removed(world, kept)
        objects = tuple(
            tuple(
                new if new.state == old.state else Object(GONE, 0, old.content)
                for new, old in zip(*both, strict=True)
            )
            for both in zip(after.objects, world.objects, strict=True)
        )
        return after._replace(objects=objects)

    def faults(self, world: World) -> Iterator[Step]:
        """Kills, and lost objects; but no part that a manifest on its way names."""
        is_published = any(put is not None and put.kind == "publish" for put in world.flying)
        for step, after in super().faults(world):
            if step == "kill" or (step == "lose an object" and not is_published):
                yield step, after


def forgotten(world: World) -> World:
    """Return the same world without what can make no difference any more.

    A put of a dead life whose place is taken never lands, and a dead life knows nothing.
    """
    flying, known = list(world.flying), list(world.known)
    for life, put in enumerate(world.flying):
        if world.lives[life] >= 0:
            continue
        if put is not None and put.kind == "publish":
            is_late = world.manifest is not None
        else:
            is_late = len(world.known[life]) < len(world.journal)
        if is_late:
            flying[life] = None
        if flying[life] is None or flying[life].kind == "publish":
            known[life] = ()
    return world._replace(flying=tuple(flying), known=tuple(known))
