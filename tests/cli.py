"""The real `pymr` script, run as a user runs it: in a folder, with a home, of its own.

`CommandLine(tmp_path)` writes inputs and worker files into its folder and runs commands there.
What a command printed comes back as an `Outcome`, whose methods assert what every outcome owes
its user: a refusal is short and has no traceback, and leaves nothing that looks like a result.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PYMR = Path(sys.executable).parent / "pymr"
ERROR_LINES_MAX = 15
COUNT_WORDS = """\
import pymr

def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)

job = pymr.Job(mapper=mapper, reducer=pymr.SUM)
"""
COPY_LINES = """\
import pymr

def mapper(ctx, line):
    ctx.emit(ctx.input.offset, line)

job = pymr.Job(mapper=mapper, input=pymr.LINES)
"""
# Uid 0 reads everything by these two rights; without them a mode means for it what it says.
WITHOUT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


class Outcome(NamedTuple):
    """What one command did."""

    code: int
    stdout: str
    stderr: str
    folder: Path  # where it ran

    def refused(self, code: int, *parts: str) -> str:
        """Assert a refusal that a user can act on, with all of `parts` in it; return stderr."""
        assert self.code == code, f"exit {self.code}\n{self.stdout}{self.stderr}"
        said = self.stderr
        assert [part for part in parts if part not in said] == [], said
        assert "Traceback" not in said, said
        assert len(said.splitlines()) <= ERROR_LINES_MAX, said
        assert said.isprintable() or "\x1b" not in said, ascii(said)
        assert list(self.folder.rglob("part-*")) == [], "nothing may look like a result"
        assert list(self.folder.rglob("_SUCCESS")) == []
        return said

    def succeeded(self, *parts: str) -> list[str]:
        """Assert success, with all of `parts` on stderr; return the rows, part after part."""
        assert self.code == 0, f"exit {self.code}\n{self.stdout}{self.stderr}"
        assert [part for part in parts if part not in self.stderr] == [], self.stderr
        return self.rows()

    def rows(self, output: str = "out") -> list[str]:
        """Return the rows of the parts in `output`, in order."""
        parts = sorted((self.folder / output).glob("part-*"))
        text = b"".join(part.read_bytes() for part in parts).decode(errors="surrogateescape")
        return text.split("\n")[:-1]


class CommandLine:
    """A folder to work in, and the commands that are run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "here"
        self.pymr = PYMR  # for lines of shell
        self.home = folder / "home"
        self.temporary = folder / "tmp"
        for made in (self.folder, self.home, self.temporary):
            made.mkdir()
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYMR_")},
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "TMPDIR": str(self.temporary),
        }

    def write(self, name: str | bytes, content: str | bytes) -> Path:
        """Write a file, folders included, and return its path."""
        path = self.folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(
        self,
        *arguments: str | bytes | Path,
        stdin: bytes = b"",
        environ: dict[str, str] | None = None,
        without_override: bool = False,
    ) -> Outcome:
        """Run `pymr` with the arguments; `without_override` holds root to file modes too."""
        prefix: tuple[str, ...] = ()
        if without_override and os.geteuid() == 0:
            assert shutil.which("setpriv"), "setpriv (util-linux) makes root a user like others"
            prefix = WITHOUT_OVERRIDE
        return self._call([*prefix, PYMR, *arguments], stdin, environ or {})

    def shell(self, script: str) -> Outcome:
        """Run a line of shell: for redirections."""
        return self._call(["/bin/sh", "-c", script], b"", {})

    def _call(
        self, command: list[str | bytes | Path], stdin: bytes, environ: dict[str, str]
    ) -> Outcome:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=self.environ | environ,
            timeout=60,
        )
        return Outcome(
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
            self.folder,
        )

    def start(
        self, *arguments: str | bytes | Path, worker: str = COUNT_WORDS, **run: object
    ) -> Outcome:
        """Write `worker` as `worker.py` and run it into `out` with the arguments."""
        self.write("worker.py", worker)
        return self.run("start", "--output=out", "--workers=1", *arguments, "worker.py", **run)

    def python(self, program: str) -> str:
        """Run a program in the folder and return what it printed, without the last newline."""
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self.environ,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")
