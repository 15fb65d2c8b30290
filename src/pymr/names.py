"""Ids and every object key: the tree of an output, in one file.

    OUT/part-00000.tsv …                   the parts, for any tool   (map-only: one a map task)
    OUT/_bad/map-00017.jsonl               records that were left out of a map task, if any
    OUT/_SUCCESS                           written last; the bytes of the manifest
    OUT/_pymr/CLAIM                        which run owns the output (locked while it runs)
    OUT/_pymr/MANIFEST.json                the commit: names everything below that is the result
    OUT/_pymr/<run>/journal                decisions, fsynced before they count
    OUT/_pymr/<run>/events.jsonl           all events, best effort
    OUT/_pymr/<run>/cancelled              `pymr cancel` was here: nothing is kept for a resume
    OUT/_pymr/<run>/map-00017-1-<nonce>    sorted run of one map attempt, write-once
    OUT/_pymr/<run>/reduce-00003-1-<nonce> part data of one reduce attempt, write-once
    OUT/_pymr/<run>/logs/map-00017-1.log   what one attempt printed
    OUT/_pymr/<run>/logs/worker-3-1.log    what a task process of the first life printed else
    OUT/_pymr/<run>/bad-00017-1-<nonce>    bad records of one map attempt, write-once
    OUT/_pymr/<run>/tmp/                   spills and half-written objects

In an object store what grows in a folder is numbered objects, each created once, and a sign of life
takes the place of the lock:

    OUT/_pymr/<run>/journal/00000042       a slot: some decisions
    OUT/_pymr/<run>/events/00000042        a piece: events of about a second
    OUT/_pymr/<run>/code/<sha256>          worker.py and the modules beside it
    OUT/_pymr/<run>/sources/<sha256>       what each reduce task reads: a list of map outputs
    OUT/_pymr/<run>/told/<sha256>          work, a receipt or a spec that is too long for a message
    OUT/_pymr/<run>/logs/pod-<name>.log    what a pod of Kubernetes has printed
    OUT/_pymr/<run>/alive                  who works on the run; replaced every few seconds
    OUT/_pymr/probe-<nonce>/               what a probe of the store tries, and removes

Attempts stand beside the journal, in one folder: on a disk, the sync of the folder that makes
an attempt durable makes the journal's own name durable too. No key is ever written twice with
different bytes, except MANIFEST.json, the parts, _bad/ and _SUCCESS under `--overwrite` or
`pymr replay`.
"""

from __future__ import annotations

import os
import re
import time

STATE = "_pymr"
CLAIM = f"{STATE}/CLAIM"
MANIFEST = f"{STATE}/MANIFEST.json"
SUCCESS = "_SUCCESS"
BAD = "_bad"
_PART_DIGITS = 5
_RECORDS = frozenset({"journal", "events.jsonl", "events", "cancelled", "alive", "logs", "code"})
_UPLOAD_NAME_CHARS = 100


def new_run_id() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7): ordered by time, never the same twice."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76  # the version
    value = value & ~(0x3 << 62) | 0x2 << 62  # the variant
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def new_nonce() -> str:
    """Return 128 random bits as hex: two attempts never share a key."""
    return os.urandom(16).hex()


def upload_key(digest: str, size: int, name: str) -> str:
    """Return where an input of those bytes is in a store, below its prefix.

    `name` is for people: what of it is no plain character is left out.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[-_UPLOAD_NAME_CHARS:]
    return f"inputs/{digest}-{size}/{plain or 'input'}"


def run_prefix(run: str) -> str:
    """Return the folder of one run."""
    return f"{STATE}/{run}"


def probe_prefix(nonce: str) -> str:
    """Return the folder of one probe of a store."""
    return f"{STATE}/probe-{nonce}"


def journal_key(run: str) -> str:
    """Return the journal of decisions of a run."""
    return f"{STATE}/{run}/journal"


def events_key(run: str) -> str:
    """Return the history of all events of a run."""
    return f"{STATE}/{run}/events.jsonl"


def journal_slot_key(run: str, number: int) -> str:
    """Return one slot of a journal in an object store, counted from 0."""
    return f"{STATE}/{run}/journal/{number:08d}"


def events_piece_key(run: str, number: int) -> str:
    """Return one piece of a history in an object store, counted from 0."""
    return f"{STATE}/{run}/events/{number:08d}"


def alive_key(run: str) -> str:
    """Return the last sign of life of a run in an object store."""
    return f"{STATE}/{run}/alive"


def is_record(run: str, key: str) -> bool:
    """Say whether a key is of what stays of a run: journal, history, prints, code, marks."""
    name = key.removeprefix(f"{STATE}/{run}/")
    return name != key and name.partition("/")[0] in _RECORDS


def cancelled_key(run: str) -> str:
    """Return the mark of a run that is not to be resumed."""
    return f"{STATE}/{run}/cancelled"


def logs_prefix(run: str) -> str:
    """Return the folder of what the processes of a run have printed."""
    return f"{STATE}/{run}/logs"


def attempt_log_key(run: str, phase: str, task: int, number: int) -> str:
    """Return what one attempt has printed."""
    return f"{STATE}/{run}/logs/{phase}-{task:05d}-{number}.log"


def process_log_key(run: str, worker: str, epoch: int) -> str:
    """Return what a task process has printed outside of attempts, in one life of the run."""
    return f"{STATE}/{run}/logs/{worker}-{epoch}.log"


def pod_log_key(run: str, pod: str) -> str:
    """Return what a pod of a run has printed."""
    return f"{STATE}/{run}/logs/pod-{pod}.log"


def tmp_prefix(run: str) -> str:
    """Return the folder of spills and half-written objects of a run."""
    return f"{STATE}/{run}/tmp"  # noqa: S108 - inside the output


def attempt_key(run: str, phase: str, task: int, number: int, nonce: str) -> str:
    """Return the one object of an attempt; `phase` is `map` or `reduce`."""
    return f"{STATE}/{run}/{phase}-{task:05d}-{number}-{nonce}"


def bad_key(run: str, task: int, number: int, nonce: str) -> str:
    """Return the object for the bad records of one map attempt."""
    return f"{STATE}/{run}/bad-{task:05d}-{number}-{nonce}"


def code_key(run: str, sha256: str) -> str:
    """Return the object with the user's code, whose bytes have that digest."""
    return f"{STATE}/{run}/code/{sha256}"


def sources_key(run: str, sha256: str) -> str:
    """Return the object with a list of map outputs, whose bytes have that digest."""
    return f"{STATE}/{run}/sources/{sha256}"


def told_key(run: str, sha256: str) -> str:
    """Return the object with what is too long for a message, whose bytes have that digest."""
    return f"{STATE}/{run}/told/{sha256}"


def is_map_output(key: str) -> bool:
    """Say whether `attempt_key` makes such a key for a map attempt."""
    return key.startswith(f"{STATE}/") and key.rpartition("/")[2].startswith("map-")


def bad_name(task: int) -> str:
    """Return where the bad records of a map task stand for people and tools."""
    return f"{BAD}/map-{task:05d}.jsonl"


def is_bad_name(name: str) -> bool:
    """Say whether `bad_name` makes such a name."""
    digits = name.removeprefix(f"{BAD}/map-").removesuffix(".jsonl")
    is_number = len(digits) >= _PART_DIGITS and digits.isdecimal()
    return is_number and name == f"{BAD}/map-{digits}.jsonl"


def part_name(index: int, output_format: str) -> str:
    """Return the name of a part as other tools see it."""
    return f"part-{index:05d}.{output_format}"


def is_part_name(name: str) -> bool:
    """Say whether `part_name` makes such a name."""
    stem, dot, output_format = name.partition(".")
    digits = stem.removeprefix("part-")
    return (
        stem != digits
        and len(digits) >= _PART_DIGITS
        and digits.isdecimal()
        and bool(dot)
        and output_format.isalnum()
    )
