"""Runs in a worker's image while it is built: installs the packages that its worker file declares.

`python -m pymr.kubernetes.images.declared /opt/worker`. The folder holds one file: a worker file
(PEP 723) or requirements. Packages go below it, beside those of PyMR, whose versions they must
bear: pip says what does not go together. If hashes are given, all must be.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from pymr.errors import WorkerFileError
from pymr.kubernetes.images.trim import BYTECODE, compile_files
from pymr.task.declared import declared_packages

_OURS: Final = re.compile(r"\s*pymr(?![A-Za-z0-9._-])")  # which is there, in the version that runs


def install(folder: Path) -> int:
    """Install what the file in `folder` declares, and return the exit code of pip."""
    packages = folder / "packages"
    packages.mkdir()
    bytecode = Path(BYTECODE + str(folder))  # which the next stage copies, whatever is in it
    bytecode.mkdir(parents=True)
    lines = [line for path in folder.iterdir() for line in _requirements(path)]
    requirements = [line for line in lines if _OURS.match(line) is None]
    if not requirements:
        return 0
    wanted, own = Path("/tmp/declared.txt"), Path("/tmp/own.txt")  # noqa: S108 - of a build alone
    wanted.write_text("\n".join(requirements), "utf-8")
    own.write_bytes(_pip("list", "--format=freeze", stdout=subprocess.PIPE).stdout)
    how = ["--constraint", str(own), "--target", str(packages), "--requirement", str(wanted)]
    if any("--hash=" in line for line in requirements):
        how += ["--require-hashes", "--only-binary", ":all:"]
    else:
        how += ["--prefer-binary"]
    done = _pip("install", *how)
    compile_files(sorted(str(path) for path in packages.rglob("*.py")))
    return done.returncode


def _requirements(path: Path) -> list[str]:
    if path.suffix == ".py":
        return declared_packages(path)
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def _pip(*arguments: str, stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the base image's pip for the Python of PyMR, which has none."""
    program = shutil.which("pip")
    assert program is not None, "images of Python have it"
    command = [program, "--python", sys.executable, *arguments]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=stdout)


def main() -> int:
    """Install into the folder of the command line, and return an exit code."""
    try:
        return install(Path(sys.argv[1]))
    except WorkerFileError as error:
        os.write(2, f"{error.message}\n".encode())
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
