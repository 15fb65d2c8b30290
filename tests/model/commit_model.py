"""The commit protocol as a small machine, of which every history is tried.

The world: map and reduce tasks with a few attempts each, processes that work on the run one
after the other (lives), a journal, a manifest. Anything may die between any two steps; a power
cut loses what was not synced; attempts end late, or go on after their life has ended; an object
may be lost; a mapper may write something else each time. Reports may come twice and in any
order, since a finished attempt may be looked at whenever its life likes.

Each step is named for what the code does there (`STEPS`); `SAFEGUARDS` are what the protocol
relies on, and each can be left out, to see that the model notices. docs/design/commit-model.md
tells what is proven and within which bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

# What the code does at each step.
STEPS: dict[str, tuple[str, ...]] = {
    "begin a life": (
        "pymr.store.claim.LocalClaim.take",
        "pymr.store.journal.Journal.reopen",
        "pymr.core.replay.replay",
        "pymr.runner.local.LocalRunner.take_on",
        "pymr.task.commit.verify_kept",
        "pymr.runner.life.Life._tidy",
        "pymr.task.commit.remove_attempts",
    ),
    "see that it is done": ("pymr.runner.resume.resume_run", "pymr.task.output.reclaim_output"),
    "grant": ("pymr.core.phase.Phase._grant", "pymr.core.job.Job.map_sources"),
    "write": (
        "pymr.task.attempt.run_attempt",
        "pymr.names.attempt_key",
        "pymr.store.local.LocalWriter.commit",
    ),
    "commit": (
        "pymr.runner.local.LocalRunner._verify",
        "pymr.task.commit.verify_attempt",
        "pymr.core.phase.Phase._decide",
        "pymr.core.rewritten.refuse_another_output",
        "pymr.core.ledger.Ledger.fold_reduce",
        "pymr.store.journal.Journal.append",
        "pymr.core.job.Job._enter",
    ),
    "refuse": ("pymr.core.rewritten.refuse_another_output", "pymr.core.ledger.Ledger.fold_reduce"),
    "misread": ("pymr.core.job.Job._fail_reduce", "pymr.core.job.Job._give_up"),
    "sync": ("pymr.store.journal.Journal.sync",),
    "publish": (
        "pymr.core.job.Job._advance",
        "pymr.core.ledger.Ledger.close",
        "pymr.task.commit.publish",
        "pymr.runner.pool.Pool.close",
        "pymr.store.local.LocalStore.put_if_absent",
    ),
    "fail to publish": ("pymr.task.commit.publish", "pymr.runner.life.Life._fail"),
    "remove": ("pymr.task.commit.remove_attempts",),
    "tell": ("pymr.runner.life.Life.run",),
}
# What is done to it.
FAULTS = ("kill", "power cut", "lose an object")

SAFEGUARDS = {
    "verify": "an attempt counts only when its object is seen to be whole",
    "own keys": "no two attempts write under one key",
    "sync objects": "an object is synced before its attempt is reported",
    "sync manifest": "the manifest is synced before the run is said to be done",
    "read the manifest": "a later life looks for a manifest before it does anything",
    "tidy by manifest": "what is removed is decided by reading the manifest back",
    "order": "a power cut takes the end of the journal, never its middle: the chain of digests",
    "compare": "a map output written again must be what it was before",
    "remember": "a later life is told which map outputs were given up before",
    "books": "what reduce tasks have read is what the map tasks have written",
    "slots": "in a store, a decision is put behind all that its writer knows, or not at all",
    "tidy late": "in a store, nothing is removed of a run before its manifest is visible",
}

NONE, RUNNING, HALF, WHOLE, GONE = range(5)
NEW, DEAD, REFUSED, DONE = -1, -2, -3, -4  # lives; else how much of the journal it began with


class Bounds(NamedTuple):
    """How large the world is."""

    maps: int = 1
    reduces: int = 2
    attempts: int = 2  # of each task, in all lives
    lives: int = 2
    losses: int = 1
    contents: int = 1  # that a map task may write: 1 if the mapper is deterministic
    zombies: bool = False  # attempts go on after their life has ended
    without: frozenset[str] = frozenset()  # safeguards


class Object(NamedTuple):
    """One attempt and its object."""

    state: int = NONE
    life: int = 0
    content: tuple[int, ...] = ()  # of a map: what it wrote; of a reduce: of what it read


class Record(NamedTuple):
    """A decision: `commit` or `give up` of one attempt of a task."""

    kind: str
    task: int
    attempt: int


class World(NamedTuple):
    """All that there is."""

    objects: tuple[tuple[Object, ...], ...]
    journal: tuple[Record, ...] = ()
    synced: int = 0
    lives: tuple[int, ...] = ()
    manifest: tuple[int, ...] | None = None  # an attempt for each reduce task
    losses: int = 0
    told: bool = False
    replaced: bool = False
    known: tuple[tuple[Record, ...], ...] = ()  # of a store: what each life knows of the journal
    flying: tuple[Record | None, ...] = ()  # of a store: what each life has put, not yet there


Step = tuple[str, World]
View = tuple[tuple[int | None, ...], tuple[int | None, ...]]  # committed, given up: by task


@lru_cache(maxsize=1 << 16)
def replayed(journal: tuple[Record, ...], tasks: int) -> View:
    """Return what a life knows: what it found in the journal, and what it has put there."""
    committed: list[int | None] = [None] * tasks
    given_up: list[int | None] = [None] * tasks
    for kind, task, attempt in journal:
        if kind == "commit":
            if committed[task] is None:  # The first commit counts.
                committed[task], given_up[task] = attempt, None
        elif kind == "give up" and committed[task] == attempt:
            committed[task], given_up[task] = None, attempt
    return tuple(committed), tuple(given_up)


def _broken_result(world: World, manifest: tuple[int, ...], bounds: Bounds) -> str | None:
    named = [
        world.objects[bounds.maps + number][attempt] for number, attempt in enumerate(manifest)
    ]
    if any(part.state != WHOLE for part in named):
        return "the manifest names an object that is not there, or not whole"
    if len({part.content for part in named}) > 1:
        return "the result is mixed: its parts have read different outputs of one map task"
    return None


class Model:
    """The steps that are possible in a world."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.tasks = bounds.maps + bounds.reduces

    def first(self) -> World:
        """Return the world in which nothing has happened."""
        objects = ((Object(),) * self.bounds.attempts,) * self.tasks
        return World(objects, lives=(NEW,) * self.bounds.lives)

    def has(self, safeguard: str) -> bool:
        """Say whether a safeguard is in place."""
        assert safeguard in SAFEGUARDS
        return safeguard not in self.bounds.without

    def broken(self, world: World) -> str | None:
        """Return which promise the world breaks."""
        if world.told and world.manifest is None:
            return "success was told, and there is no manifest"
        if world.replaced:
            return "a visible manifest was replaced by another"
        if self.bounds.contents == 1 and REFUSED in world.lives:
            return "a deterministic job was refused"
        if world.manifest is None:
            return None
        return _broken_result(world, world.manifest, self.bounds)

    def steps(self, world: World) -> Iterator[Step]:
        """Yield every step, with the world after it."""
        yield from self.attempts_write(world)
        yield from self.faults(world)
        for number, life in enumerate(world.lives):
            if life == NEW:
                if all(other < 0 for other in world.lives[:number]):  # The claim.
                    yield from self.begin(world, number)
                break
            if life >= 0:
                yield from self.live(world, number)

    # -- attempts ------------------------------------------------------------------------------

    def attempts_write(self, world: World) -> Iterator[Step]:
        """Also attempts whose life has ended: nobody hears of them."""
        for task, objects in enumerate(world.objects):
            for attempt, made in enumerate(objects):
                if made.state == HALF or (made.state == RUNNING and self.has("own keys")):
                    for content in self.contents(world, task, made):
                        yield "write", self.put(world, task, attempt, WHOLE, content)
                elif made.state == RUNNING:  # Under one key: what is there is cut short first.
                    after = self.put(world, task, attempt, HALF, made.content)
                    for other, sibling in enumerate(objects):
                        if sibling.state == WHOLE:
                            after = self.put(after, task, other, GONE, sibling.content)
                    yield "write", after

    def contents(self, world: World, task: int, made: Object) -> Iterator[tuple[int, ...]]:
        """Yield what the attempt may write; a reduce attempt needs all that it reads."""
        if task < self.bounds.maps:
            yield from ((content,) for content in range(self.bounds.contents))
            return
        read = [world.objects[source][attempt] for source, attempt in enumerate(made.content)]
        if all(output.state == WHOLE for output in read):
            yield tuple(output.content[0] for output in read)

    def put(
        self, world: World, task: int, attempt: int, state: int, content: tuple[int, ...]
    ) -> World:
        """Return the world with one attempt changed."""
        before = world.objects[task][attempt]
        made = Object(state, 0 if state == GONE else before.life, content)
        objects = (*world.objects[task][:attempt], made, *world.objects[task][attempt + 1 :])
        changed = (*world.objects[:task], objects, *world.objects[task + 1 :])
        return world._replace(objects=changed)

    # -- a life --------------------------------------------------------------------------------

    def begin(self, world: World, life: int) -> Iterator[Step]:
        """Claim, replay, keep what is still there, remove what nobody needs."""
        if world.manifest is not None and self.has("read the manifest"):
            yield "see that it is done", self.ended(world, life, DONE)
            return
        start = len(world.journal)
        committed, _ = replayed(world.journal, self.tasks)
        lost = tuple(
            Record("give up", task, attempt)
            for task, attempt in enumerate(committed)
            if attempt is not None and world.objects[task][attempt].state != WHOLE
        )
        world = world._replace(journal=(*world.journal, *lost), synced=start)
        yield "begin a life", self.ended(self.removed(world, committed), life, start)

    def live(self, world: World, life: int) -> Iterator[Step]:
        """What a life may do next."""
        journal = self.known(world, life)
        committed, given_up = replayed(journal, self.tasks)
        if not self.has("remember"):
            own = {r.task for r in journal[world.lives[life] :] if r.kind == "give up"}
            given_up = tuple(a if task in own else None for task, a in enumerate(given_up))
        if world.synced < len(world.journal):
            yield "sync", world._replace(synced=len(world.journal))
        if world.manifest is None and self.has("books") and self.is_unbalanced(world, committed):
            yield "refuse", self.ended(world, life, REFUSED)
            return
        if None not in committed:
            yield from self.publish(world, life, committed)
            if world.manifest is not None:  # Nobody reads map outputs any more.
                return
        maps = committed[: self.bounds.maps]
        is_mapped = None not in maps
        for task, winner in enumerate(committed):
            if winner is None and (task < self.bounds.maps or is_mapped):
                sources = maps if task >= self.bounds.maps else ()
                yield from self.grant(world, life, task, sources)
                yield from self.commit(world, life, task, given_up[task])
        if is_mapped:
            yield from self.misread(world, life, maps)

    def known(self, world: World, _life: int) -> tuple[Record, ...]:
        """Return what a life knows of the journal: all of it, if it is alone."""
        return world.journal

    def decide(self, world: World, _life: int, decision: Record) -> World:
        """Return the world in which a life has appended a decision."""
        return world._replace(journal=(*world.journal, decision))

    def hears(self, made: Object, life: int) -> bool:
        """Say whether a life hears of an attempt: of its own, on one machine."""
        return made.life == life

    def grant(
        self, world: World, life: int, task: int, sources: tuple[int | None, ...]
    ) -> Iterator[Step]:
        """Let the next attempt run: the first that was never granted."""
        for attempt, made in enumerate(world.objects[task]):
            if made.state == NONE:
                after = self.put(world, task, attempt, RUNNING, sources)  # type: ignore[arg-type]
                granted = after.objects[task][attempt]._replace(life=life)
                objects = (*after.objects[task][:attempt], granted)
                objects += after.objects[task][attempt + 1 :]
                changed = (*after.objects[:task], objects, *after.objects[task + 1 :])
                yield "grant", after._replace(objects=changed)
                return

    def commit(self, world: World, life: int, task: int, before: int | None) -> Iterator[Step]:
        """Believe an attempt of this life that says it is done, or refuse what it wrote."""
        for attempt, made in enumerate(world.objects[task]):
            is_there = made.state == WHOLE or (made.state == RUNNING and not self.has("verify"))
            if not self.hears(made, life) or not is_there:
                continue
            is_again = task < self.bounds.maps and before is not None and self.has("compare")
            if is_again and world.objects[task][before or 0].content != made.content:
                yield "refuse", self.ended(world, life, REFUSED)
                continue
            yield "commit", self.decide(world, life, Record("commit", task, attempt))

    def is_unbalanced(self, world: World, committed: tuple[int | None, ...]) -> bool:
        """Say whether a reduce task has read something else than the map tasks have written."""
        maps = committed[: self.bounds.maps]
        if None in maps:
            return False
        written = sum((world.objects[t][a or 0].content for t, a in enumerate(maps)), ())
        return any(
            attempt is not None and world.objects[task][attempt].content != written
            for task, attempt in enumerate(committed)
            if task >= self.bounds.maps
        )

    def misread(self, world: World, life: int, maps: tuple[int | None, ...]) -> Iterator[Step]:
        """Give a map output up that a reduce task cannot read."""
        reading = [
            made.content
            for objects in world.objects[self.bounds.maps :]
            for made in objects
            if made.state == RUNNING and made.life == life
        ]
        for task, attempt in enumerate(maps):
            assert attempt is not None
            is_read = any(sources[task] == attempt for sources in reading)
            if is_read and world.objects[task][attempt].state == GONE:
                yield "misread", self.decide(world, life, Record("give up", task, attempt))

    def publish(self, world: World, life: int, committed: tuple[int | None, ...]) -> Iterator[Step]:
        """Write the manifest, tidy up, say that it is done."""
        parts = committed[self.bounds.maps :]
        states = [world.objects[self.bounds.maps + n][a or 0].state for n, a in enumerate(parts)]
        if world.manifest is None:
            if any(state != WHOLE for state in states) and self.has("verify"):
                yield "fail to publish", self.ended(world, life, DEAD)
            else:
                after = self.alone(world, life)
                yield "publish", after._replace(manifest=parts)  # type: ignore[arg-type]
            return
        if not self.has("read the manifest") and world.manifest != parts:
            yield "publish", world._replace(replaced=True)
        kept = committed if not self.has("tidy by manifest") else (None,) * self.tasks
        after = self.removed(world, kept)
        if after != world:
            yield "remove", after
        yield "tell", self.ended(world._replace(told=True), life, DONE)

    def removed(self, world: World, kept: tuple[int | None, ...]) -> World:
        """Return the world without objects that are neither `kept` nor in the manifest."""
        named = dict(enumerate(world.manifest or (), self.bounds.maps))
        if not self.has("tidy by manifest"):
            named = {}
        for task, objects in enumerate(world.objects):
            for attempt, made in enumerate(objects):
                if made.state == WHOLE and attempt not in (kept[task], named.get(task)):
                    world = self.put(world, task, attempt, GONE, ())
        return world

    def ended(self, world: World, life: int, how: int) -> World:
        """Return the world in which a life has begun or ended, and with it its attempts."""
        if how < 0:
            world = self.alone(world, life)
        return world._replace(lives=(*world.lives[:life], how, *world.lives[life + 1 :]))

    def alone(self, world: World, life: int) -> World:
        """Return the world after a life has ended its attempts, or the kernel has."""
        if self.bounds.zombies:
            return world
        for task, objects in enumerate(world.objects):
            for attempt, made in enumerate(objects):
                if made.state == RUNNING and made.life == life:
                    world = self.put(world, task, attempt, GONE, ())
        return world

    # -- faults --------------------------------------------------------------------------------

    def faults(self, world: World) -> Iterator[Step]:
        """Kills, power cuts, lost objects."""
        for life, how in enumerate(world.lives):
            if how >= 0:
                yield "kill", self.ended(world, life, DEAD)
        if world.lives[0] != NEW:
            yield from self.power_cut(world)
        decided = {(record.task, record.attempt) for record in world.journal}
        if world.losses < self.bounds.losses and world.manifest is None:
            for task, objects in enumerate(world.objects):
                for attempt, made in enumerate(objects):
                    if made.state == WHOLE and (task, attempt) in decided:
                        after = self.put(world, task, attempt, GONE, made.content)
                        yield "lose an object", after._replace(losses=world.losses + 1)

    def power_cut(self, world: World) -> Iterator[Step]:
        """End everything, and lose any end of what was not synced."""
        dark = world._replace(lives=tuple(DEAD if how >= 0 else how for how in world.lives))
        if not self.has("sync manifest"):
            dark = dark._replace(manifest=None)
        for task, objects in enumerate(world.objects):
            for attempt, made in enumerate(objects):
                is_lost = made.state == WHOLE and not self.has("sync objects")
                if made.state in (RUNNING, HALF) or is_lost:
                    dark = self.put(dark, task, attempt, GONE, made.content if is_lost else ())
        for end in range(world.synced, len(world.journal) + 1):
            kept = world.journal[:end]
            yield "power cut", dark._replace(journal=kept, synced=end)
            if not self.has("order") and end < len(world.journal):
                kept = (*world.journal[:end], *world.journal[end + 1 :])
                yield "power cut", dark._replace(journal=kept, synced=len(kept))


# What `make test` explores. Each ends without a broken promise and without a stuck world.
PROVEN = {
    "deterministic mapper": Bounds(),
    "mapper that may write two things": Bounds(contents=2),
    "two map tasks, one reduce task": Bounds(maps=2, reduces=1),
    "attempts that outlive their life": Bounds(zombies=True, losses=0),
    "three lives": Bounds(lives=3, losses=0),
}
NOT_THERE = "the manifest names an object that is not there, or not whole"
MIXED = "the result is mixed: its parts have read different outputs of one map task"
# What happens without safeguards: the model sees it.
BROKEN = {
    ("verify", "books"): (Bounds(losses=0, lives=1), NOT_THERE),
    ("own keys",): (Bounds(zombies=True, losses=0, lives=1), NOT_THERE),
    ("sync objects",): (Bounds(losses=0), NOT_THERE),
    ("sync manifest",): (Bounds(losses=0), "success was told, and there is no manifest"),
    ("read the manifest",): (Bounds(losses=0), "a visible manifest was replaced by another"),
    ("read the manifest", "tidy by manifest"): (Bounds(losses=0), NOT_THERE),
    ("compare", "books"): (Bounds(contents=2, lives=1), MIXED),
    ("remember", "books"): (Bounds(contents=2), MIXED),
    ("order", "books"): (Bounds(contents=2, losses=0), MIXED),
}


def without(safeguards: tuple[str, ...], bounds: Bounds) -> Bounds:
    """Return bounds without safeguards."""
    return bounds._replace(without=frozenset(safeguards))
