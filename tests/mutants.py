"""Breaks the code on purpose, one line at a time, and demands that the tests notice.

    python tests/mutants.py [--rust] [WORDS OF A NAME]

Each entry of mutants.toml is put into a copy of the tree, never into the tree itself, and the
tests that it names run there until the first failure. A mutant that survives is a test that is
missing. Those of Rust need a build each, so they come with `--rust` only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = (
    *("src", "tests", "benchmarks", "rust", "pyproject.toml", ".cargo"),
    *("Dockerfile.master", "Dockerfile.worker", "Dockerfile.minio"),
)
TIMEOUT_S = 300
FAILED = 1  # what pytest says of tests that failed; anything else is no verdict


class Mutant(NamedTuple):
    """One breakage: `old` becomes `new` in `file`, and one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str


def mutants() -> list[Mutant]:
    """Return the checked-in list."""
    with (ROOT / "tests" / "mutants.toml").open("rb") as file:
        return [Mutant(**entry) for entry in tomllib.load(file)["mutant"]]


def is_killed(mutant: Mutant, tree: Path) -> bool:
    """Run the tests of a mutant in `tree`, a copy, which is as before afterwards.

    Raises:
        RuntimeError: the tests gave no verdict.
    """
    path = tree / mutant.file
    text = path.read_text("utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.name}: {mutant.file} has changed"
    path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
    try:
        if mutant.file.startswith("rust/"):
            build(tree)
        code, said = run_tests(mutant.tests, tree)
    finally:
        path.write_text(text, "utf-8")
    if code not in (0, FAILED):
        raise RuntimeError(f"{mutant.name}: pytest ended with {code}\n{said}")
    return code == FAILED


def refuse_red(wanted: list[Mutant], tree: Path) -> None:
    """Run all tests without a mutant: a test that fails anyway kills nothing.

    Raises:
        RuntimeError: one failed.
    """
    tests = " ".join(sorted({test for mutant in wanted for test in mutant.tests.split()}))
    code, said = run_tests(tests, tree)
    if code:
        raise RuntimeError(f"without a mutant pytest ends with {code}\n{said}")


def run_tests(names: str, tree: Path) -> tuple[int, str]:
    """Return the code of pytest, and what it said. A test that hangs has noticed, too."""
    tests = [f"tests/{name}" for name in names.split()]
    options = ["-x", "-q", "-p", "no:cacheprovider", "--timeout=60"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:  # Not even the timeout of the test could end it.
        return FAILED, f"it hangs for {TIMEOUT_S} s"
    return done.returncode, done.stdout + done.stderr


def build(tree: Path) -> None:
    """Build the native module of the copy, without the optimizations that take minutes."""
    subprocess.run(
        ["cargo", "build", "--quiet", "--profile=fuzz", "--features=pyo3/extension-module"],
        cwd=tree / "rust",
        env={**os.environ, "PYO3_PYTHON": sys.executable},
        check=True,
    )
    [module] = (tree / "src/pymr").glob("_native*.so")
    module.unlink()  # A process may have it open.
    shutil.copy(tree / "rust/target/fuzz/lib_native.so", module)


def copy_tree(target: Path) -> None:
    """Copy what tests need."""
    ignored = shutil.ignore_patterns("target", "__pycache__", ".hypothesis")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, target / name)


def main() -> int:
    """Run what was asked for, and return 1 if a mutant survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rust", action="store_true", help="those of Rust, too")
    parser.add_argument("words", nargs="*", help="of the names of mutants")
    options = parser.parse_args()
    wanted = [m for m in mutants() if " ".join(options.words) in m.name]
    # Those of Rust last: they leave a native module that is broken.
    wanted.sort(key=lambda mutant: mutant.file.startswith("rust/"))
    if not options.rust:
        wanted = [mutant for mutant in wanted if not mutant.file.startswith("rust/")]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="pymr-mutants-") as folder:
        copy_tree(Path(folder))
        refuse_red(wanted, Path(folder))
        for mutant in wanted:
            began = time.monotonic()
            killed = is_killed(mutant, Path(folder))
            survivors += not killed
            verdict = "killed  " if killed else "SURVIVED"
            print(f"{verdict} {time.monotonic() - began:5.1f} s  {mutant.name}", flush=True)  # noqa: T201
    print(f"{len(wanted)} mutants, {survivors} survived")  # noqa: T201
    return min(survivors, 1)


if __name__ == "__main__":
    sys.exit(main())
