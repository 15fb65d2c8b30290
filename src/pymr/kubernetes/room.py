"""Whether a run fits into the storage of its namespace: asked of MinIO before anything is sent.

room = what its disk has free, less the hundredth that it never uses
inputs that are sent > room                          refused
inputs that are sent + as much as all input > room   told: where nothing is combined, map tasks
                                                     write about as much as they read

Where MinIO does not say, a run is begun.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from pymr import names
from pymr.core.sample import is_combined
from pymr.core.spec import InputFile
from pymr.errors import ClusterError
from pymr.kubernetes.volume import KEPT_SHARE, Volume, read_volume
from pymr.observe.quantity import show_size
from pymr.runner.plan import Plan
from pymr.store.access import Access, open_store

GiB: Final = 1 << 30


def look_for_room(plan: Plan, namespace: str, owner: Access, root: str) -> Plan:
    """Return the plan of a run whose inputs go below `root`, with a warning if room may not do.

    Raises:
        ClusterError: its inputs do not fit.
        StoreError: the storage cannot be listed.
    """
    volume = read_volume(owner)
    if volume is None:
        return plan
    local = dict.fromkeys(file for file in plan.inputs if file.etag is None)
    to_send = sum(file.size for file in local)
    if to_send > volume.free_bytes:
        to_send = sum(file.size for file in not_there(local, owner, root))
    if to_send > volume.free_bytes:
        raise too_large(to_send, plan.input_bytes, volume, namespace)
    is_small = plan.spec.shape.reducer is not None and is_combined(plan.spec.shape)
    needed = to_send + (0 if is_small else plan.input_bytes)
    if needed <= volume.free_bytes:
        return plan
    return plan.alerted(
        f"the storage of namespace `{namespace}` has {show_size(volume.free_bytes)} free, less than"
        f" the {show_size(needed)} that the run may need: it may fill up"
    )


def not_there(files: Iterable[InputFile], owner: Access, root: str) -> list[InputFile]:
    """Return those files of which there is no upload of that name and size."""
    folder, _, _ = names.upload_key("", 0, "").partition("/")
    objects = open_store(root, owner).list(folder)
    there = {each.key.partition("-")[2] for each in objects}  # behind the digest
    return [file for file in files if _behind_digest(file) not in there]


def _behind_digest(file: InputFile) -> str:
    name = os.fsdecode(os.path.basename(file.name))
    return names.upload_key("", file.size, name).partition("-")[2]


def too_large(to_send: int, input_bytes: int, volume: Volume, namespace: str) -> ClusterError:
    """Return the refusal of an input; the volume it names would do for all of the run."""
    wanted = -(-int((to_send + input_bytes) / (1 - KEPT_SHARE)) // GiB)
    return ClusterError(
        f"the input does not fit into the storage of namespace `{namespace}`:"
        f" {show_size(to_send)} are to be uploaded, and {show_size(volume.free_bytes)} of"
        f" {show_size(volume.total_bytes)} are free",
        hint=f"pymr up --namespace NAME --volume {wanted}G   and start there, or   --store"
        " s3://bucket   of yours",
        need_bytes=to_send,
        have_bytes=volume.free_bytes,
    )
