"""What must be there before a run begins: said before any work is done.

What is certain to fail is refused; what may do is a warning. An output that cannot be written is
refused when it is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec

from pymr.config import Settings, this_machine
from pymr.config.machine import FILES_MIN
from pymr.core.sample import is_combined
from pymr.errors import ResourceError
from pymr.observe.quantity import show_size
from pymr.runner.memory import fan_in_max
from pymr.runner.plan import Plan, temporary_folder
from pymr.store.access import Access, is_address, parse_address
from pymr.store.base import VersionedStore
from pymr.store.disk import free_bytes
from pymr.store.place import Place
from pymr.store.probe import existing_folder, probe_folder
from pymr.text_form import show_path


def refuse_few_files() -> None:
    """Refuse to begin where not even one worker can be talked to.

    Raises:
        ResourceError: `ulimit -n` is too low.
    """
    allowed = this_machine().files_max
    if allowed is not None and allowed < FILES_MIN:
        raise ResourceError(
            f"{allowed} open files are allowed here (ulimit -n), expected at least {FILES_MIN}",
            hint="ulimit -n 1024",
        )


def refuse_unsafe_store(place: Place, access: Access, settings: Settings) -> None:
    """Refuse an output in a store on which a run may go wrong, as a probe has found it.

    Raises:
        UnsafeStoreError: it is not safe, and `--allow-unsafe-store` does not make it so.
        StoreError: it cannot be reached.
    """
    if place.folder is not None:
        return
    from pymr.store.safety import refuse_unsafe

    objects, address = cast("VersionedStore", place.objects), parse_address(str(place))
    if settings.on == "kubernetes":  # Its address from here is another port each time.
        name = f"{settings.endpoint} in {settings.context}"
        access = msgspec.structs.replace(access, endpoint=name)
    refuse_unsafe(objects, address, access, is_single_allowed=settings.allow_unsafe_store)


def looked_over(plan: Plan, settings: Settings) -> Plan:
    """Return the plan with warnings of what may be missing.

    Raises:
        ResourceError: spills cannot be written where `--tmp-dir` says.
    """
    tmp_dir = _folder_of_spills(plan, settings)
    if tmp_dir is not None:
        _refuse_unwritable(tmp_dir)
    return plan.alerted(*_files(plan), *_room(plan, settings))


def _folder_of_spills(plan: Plan, settings: Settings) -> str | None:
    """Return where spills go that go outside of the output."""
    if settings.tmp_dir is None and is_address(plan.output):
        return temporary_folder(settings)
    return settings.tmp_dir


def _refuse_unwritable(path: str) -> None:
    try:
        failed = probe_folder(existing_folder(path), ("write",))
    except NotADirectoryError as error:
        raise _unusable(path, f"`{show_path(error.filename)}` is no folder") from error
    if failed:
        raise _unusable(path, failed["write"].message)


def _unusable(path: str, why: str) -> ResourceError:
    return ResourceError(
        f"--tmp-dir `{show_path(path)}` cannot be used: {why}", hint="choose another --tmp-dir"
    )


def _files(plan: Plan) -> Iterator[str]:
    """Yield that a resumed run may merge more than it has files for: that is frozen."""
    planned = plan.spec.limits.merge_fan_in_max
    if planned > fan_in_max():
        yield (
            f"up to {planned} sorted runs are merged at once, as the run was planned, and"
            f" {this_machine().files_max} open files are allowed here (ulimit -n)"
        )


def _room(plan: Plan, settings: Settings) -> Iterator[str]:
    """Yield disks on which there may be too little room.

    Where nothing is combined, about as much as the input goes to the disk of the output; and to
    that of spills, if it does not fit in the buffers of the map tasks.
    """
    shape = plan.spec.shape
    if shape.reducer is not None and is_combined(shape):
        return
    needed = plan.input_bytes
    places = {} if is_address(plan.output) else {"--output": plan.output}
    buffers = len(plan.tasks) * plan.spec.limits.spill_bytes_max
    tmp_dir = _folder_of_spills(plan, settings)
    if tmp_dir is not None and shape.reducer is not None and needed > buffers:
        places["--tmp-dir"] = tmp_dir
    for flag, path in places.items():
        free = free_bytes(path)
        if free is not None and free < needed:
            yield (
                f"{flag} `{show_path(path)}` is on a disk with {show_size(free)} free, less than"
                f" the {show_size(needed)} of the input: it may fill up"
            )
