"""Commands in a mount namespace of their own: with a small disk, or with limits of a cgroup.

Only root may mount. Where the tests do not run as root, what needs it is skipped, which
docs/reliability.md says.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from cli import CommandLine, Outcome


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    script = "mount -t tmpfs none /mnt"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, check=False, timeout=60
    )
    return done.returncode == 0


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="needs root, to mount a disk of its own")


def run_mounted(cli: CommandLine, mounts: str, command: str) -> Outcome:
    """Run lines of shell after others that mount; what these did is gone with the command."""
    lines = shlex.quote(f"{mounts}\n{command}")
    return cli.shell(f"exec unshare -m sh -ec {lines}")


def cgroup(cli: CommandLine, memory_bytes: int) -> str:
    """Return the lines that limit the memory of the machine, as any cgroup tells it."""
    folder = cli.folder.parent / "cgroup"
    for group in (folder, folder / "memory"):
        group.mkdir()
        for name in ("memory.max", "memory.limit_in_bytes"):
            (group / name).write_text(f"{memory_bytes}\n")
        for name in ("memory.events", "memory.oom_control"):
            (group / name).write_text("oom_kill 0\n")
    return f"mount --bind {folder} /sys/fs/cgroup"
