"""Runs in an image while it is built: drops what nobody needs there, and compiles what is needed.

`python -m pymr.kubernetes.images.trim`. The base image has no bytecode, and in a pod nobody can
write any: so each process would compile all that it imports, the standard library included. What
masters, workers and task processes import is compiled here, into the folder that the image names
in PYTHONPYCACHEPREFIX, without times: the same sources are the same bytes.
"""

from __future__ import annotations

import importlib
import os
import py_compile
import shutil
import sys
from importlib.machinery import FrozenImporter
from typing import Final

from pymr.kubernetes.images.shared_object import without_names

BYTECODE: Final = os.path.join(sys.prefix, "bytecode")
NEEDED: Final = (
    "pymr.cli.master",
    "pymr.cli.worker",
    "pymr.cluster.start",
    "pymr.cluster.join_run",
    "pymr.cluster.metrics",
    "pymr.observe.summary",
    "pymr.task.process",
    "pymr.task.map_attempt",
    "pymr.task.reduce_attempt",
    "cloudpickle",
    "obstore.store",
    # What those above import where they use it, so that it is not seen by importing them.
    "configparser",
    "cryptography.hazmat.backends.openssl.backend",
    "encodings.idna",
    "encodings.utf_8_sig",
    "grpc._channel",
    "grpc._utilities",
    "grpc.experimental",
    "html",
    "packaging.requirements",
    "tarfile",
)
# … and of our own, all that may be.
OWN_FOLDERS: Final = ("cluster", "config", "core", "records", "runner", "shuffle", "store", "task")
NOT_NEEDED: Final = {"tests", "test", "__pycache__", "sboms", "cffi"}  # cryptography has its own
FOR_OTHERS: Final = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", "roots.pem")
WORKER_PATH: Final = "/opt/worker/packages"  # where `declared` installs


def trim(packages: str) -> None:
    """Remove tests, and what only compilers, type checkers and public web sites need."""
    for folder, folders, names in os.walk(packages):
        for name in NOT_NEEDED.intersection(folders):
            shutil.rmtree(os.path.join(folder, name))
            folders.remove(name)
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(FOR_OTHERS):
                os.remove(path)
            elif name.endswith(".so"):
                cut(path)


def cut(path: str) -> None:
    """Take out of a compiled module what is not for running it."""
    with open(path, "r+b") as file:
        body = without_names(file.read())
        file.seek(0)
        file.write(body)
        file.truncate()


def compile_needed(packages: str) -> None:
    """Compile what is imported in a pod."""
    for name in NEEDED:
        importlib.import_module(name)
    paths = {
        getattr(module, "__file__", None) or ""
        for module in sys.modules.values()
        if getattr(module, "__loader__", None) is not FrozenImporter  # Python has them in itself.
    }
    for name in OWN_FOLDERS:
        for folder, _, names in os.walk(os.path.join(packages, "pymr", name)):
            paths.update(os.path.join(folder, each) for each in names)
    compile_files(sorted(path for path in paths if path.endswith(".py")))


def compile_files(paths: list[str]) -> None:
    """Compile sources into BYTECODE; those that are no Python of this version are left."""
    sys.pycache_prefix = BYTECODE
    for path in paths:
        try:
            py_compile.compile(
                path, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
            )
        except (py_compile.PyCompileError, OSError):
            continue


def main() -> None:
    """Trim the image that this runs in."""
    import pymr

    packages = os.path.dirname(os.path.dirname(pymr.__file__))
    trim(packages)
    compile_needed(packages)
    with open(os.path.join(packages, "worker.pth"), "w", encoding="utf-8") as file:
        file.write(WORKER_PATH + "\n")  # Last on the path; a master's image has no such folder.


if __name__ == "__main__":
    main()
