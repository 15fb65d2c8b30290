"""A run whose objects are staged by hand, to be published; and both ways to read an output."""

from __future__ import annotations

import hashlib
from typing import Any

from pymr import names
from pymr.errors import RunNotFoundError
from pymr.store.base import ObjectStore
from pymr.store.object_store import ObstoreStore
from pymr.task.commit import open_part, publish
from pymr.task.manifest import (
    Manifest,
    ManifestPart,
    ManifestWorker,
    Settings,
    Versions,
    read_manifest,
)

OLD = [b"a\t1\nb\t2\n", b"c\t3\n", b""]
NEW = [b"a\t10\n", b"d\t40\n"]


def memory_store() -> ObstoreStore:
    from obstore.store import MemoryStore

    return ObstoreStore(MemoryStore())


def stage(store: ObjectStore, run: str, bodies: list[bytes], **changes: Any) -> Manifest:
    """Write the objects of a run that is ready to be published; return its manifest."""
    parts = []
    for index, body in enumerate(bodies):
        key = names.attempt_key(run, "reduce", index, 1, "nonce")
        store.put_if_absent(key, body)
        parts.append(
            ManifestPart(
                name=names.part_name(index, "tsv"),
                key=key,
                records=body.count(b"\n"),
                bytes=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
            )
        )
        store.put_if_absent(names.attempt_key(run, "reduce", index, 2, "lost"), b"a loser")
        store.put_if_absent(names.attempt_key(run, "map", index, 1, "nonce"), b"map output")
    store.put_if_absent(f"{names.tmp_prefix(run)}/spill", b"spill")
    store.put_if_absent(names.journal_key(run), b"journal")
    fields = {
        "run": run,
        "name": f"name-{run}",
        "created": 1.5,
        "finished": 2.5,
        "versions": Versions(pymr="0.1.0", python="3.11.7"),
        "worker": ManifestWorker(file="worker.py", digest="ab" * 32),
        "settings": Settings(
            input_format="text", output_format="tsv", reducers=2, reducer="sum", combiner=None
        ),
        "inputs": (),
        "parts": tuple(parts),
    }
    return Manifest(**(fields | changes))


def published(store: ObjectStore, run: str, bodies: list[bytes], **changes: Any) -> Manifest:
    return publish(store, stage(store, run, bodies, **changes))


def read(store: ObjectStore) -> list[bytes] | None:
    """Read the output as the contract says, from the manifest; None: no output."""
    try:
        manifest = read_manifest(store)
    except RunNotFoundError:
        return None
    return [b"".join(open_part(store, part)) for part in manifest.parts]


def shown(store: ObjectStore) -> list[bytes] | None:
    """Read the output as other tools do: the parts, if `_SUCCESS` is there."""
    keys = [entry.key for entry in store.list("") if "/" not in entry.key]
    if names.SUCCESS not in keys:
        return None
    return [store.get(key) for key in keys if key.startswith("part-")]


def keys(store: ObjectStore) -> list[str]:
    return [entry.key for entry in store.list("")]
