"""House rules that no linter knows. Each test prints every place that breaks its rule."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_LINES_MAX = 400
TEST_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

# What a pickle holds is run when it is loaded: each of these checks a digest of this run first.
UNPICKLING = {"src/pymr/shuffle/value_codec.py", "src/pymr/task/user_code.py"}
# Terms of others, where our own names must follow them: path → words.
THIRD_PARTY = {
    "src/pymr/store/object_errors.py": {"bucket"},  # S3
    "src/pymr/store/object_client.py": {"bucket"},  # S3
    "src/pymr/cluster/admission.py": {"metadata"},  # gRPC
    "src/pymr/cluster/client.py": {"metadata"},  # gRPC
    "src/pymr/cluster/status.py": {"metadata"},  # gRPC
    "src/pymr/cluster/transport.py": {"keepalive", "metadata"},  # gRPC
    "src/pymr/store/access.py": {"bucket", "session"},  # S3
    "src/pymr/store/credentials.py": {"session"},  # S3
    "src/pymr/task/declared.py": {"metadata"},  # PEP 723 script metadata
}
VAGUE_MODULES = {"util", "utils", "helper", "helpers", "common", "misc", "manager"}


@cache
def files(*suffixes: str) -> list[Path]:
    """Return the files of the project that git tracks, or would if they were added."""
    listing = subprocess.run(
        # In a container the folder often belongs to another user than the one who tests.
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-c", "-o", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    paths = [ROOT / name for name in listing.split("\0") if name]
    return sorted(p for p in paths if p.is_file() and (not suffixes or p.suffix in suffixes))


def sources(*folders: str) -> list[Path]:
    """Return the Python files in the folders."""
    return [p for p in files(".py") if name(p).startswith(tuple(f"{f}/" for f in folders))]


def name(path: Path) -> str:
    """Return the path as the messages show it."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """Return the parsed file."""
    return ast.parse(path.read_bytes(), filename=str(path))


def lines_with(pattern: str, paths: list[Path]) -> list[str]:
    """Return `path:line: text` where the pattern is found; this file is left out."""
    wanted = re.compile(pattern)
    return [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in paths
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if wanted.search(line)
    ]


def refuse(offences: list[str]) -> None:
    """Fail with every place that breaks the rule."""
    if offences:
        pytest.fail("\n".join(offences), pytrace=False)


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every call, as written."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_files_are_short() -> None:
    """A file over the limit is two files."""
    limits = {"tests": TEST_LINES_MAX, "src": SOURCE_LINES_MAX, "rust": SOURCE_LINES_MAX}
    counted = [
        (path, path.read_text().count("\n"), limits[top])
        for path in files(".py", ".rs")
        if (top := path.relative_to(ROOT).parts[0]) in limits
    ]

    refuse([f"{name(p)}: {n} lines, at most {limit}" for p, n, limit in counted if n > limit])


def test_functions_are_short() -> None:
    """A function over the limit is two functions."""
    refuse(
        [
            f"{name(path)}:{node.lineno}: {node.name}() is {length} lines"
            for path in sources("src", "tests")
            for node in ast.walk(tree(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
        ]
    )


def test_modules_say_what_they_hold() -> None:
    """A module named for nothing collects everything."""
    refuse([name(p) for p in sources("src") if p.stem in VAGUE_MODULES])


def test_the_inside_does_not_use_the_facade() -> None:
    """`pymr/__init__.py` loads the upper layers, so import-linter leaves it out of account."""
    refuse(lines_with(r"^\s*from pymr import .*\b(?:[A-Z]\w*|run|main)\b", sources("src")))


def test_a_todo_names_its_issue() -> None:
    """A bare one is a wish that nobody will find again."""
    refuse(lines_with(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", files(".py", ".rs", ".toml", ".sh")))


def test_tests_do_not_sleep() -> None:
    """A test that needs to wait for time needs a better seam."""
    refuse(lines_with(r"\bsleep\(", [*sources("tests")]))


def test_names_follow_the_glossary() -> None:
    """Our own names do not use the words that docs/glossary.md gave up."""
    forbidden = glossary_synonyms()
    assert len(forbidden) > 30

    refuse(
        [
            f"{name(path)}:{line}: {identifier} says `{word}`, docs/glossary.md has a word for it"
            for path in files(".py", ".rs")
            if name(path).startswith(("src/", "rust/"))
            for line, identifier in identifiers(path)
            for word in forbidden
            if says(identifier, word) and word not in THIRD_PARTY.get(name(path), ())
        ]
    )


def test_the_glossary_test_sees_words_in_any_case() -> None:
    """The rule has teeth: camel case, snake case, plural, and words of two parts."""
    assert says("ShardWriter", "shard")
    assert says("shards_max", "shard")
    assert says("BATCH_SIZE", "batch")
    assert says("input_source_files", "source_file")
    assert not says("harshard", "shard")
    assert not says("batching", "batch")


def glossary_synonyms() -> set[str]:
    """Return the words in backticks of the last column of docs/glossary.md."""
    rows = re.findall(r"^\|.*\|.*\|(.*)\|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def identifiers(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of all that the file defines."""
    if path.suffix == ".rs":
        wanted = re.compile(r"\b(?:fn|struct|enum|trait|mod|const|static|let(?: mut)?) (\w+)")
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            yield from ((number, found) for found in wanted.findall(line.partition("//")[0]))
        return
    for node in ast.walk(tree(path)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def says(identifier: str, word: str) -> bool:
    """Whether the identifier has the word, or its plural, among its words."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower()
    return re.search(rf"(?:^|_){word}(?:s|es)?(?:_|$)", snake) is not None


def test_nothing_is_unpickled_but_what_a_digest_vouches_for() -> None:
    """Loading a pickle runs it; the modules that may are named here."""
    loaders = re.compile(r"(?:cloud)?pickle\.(?:load|loads|Unpickler)$|^Unpickler$")

    refuse(
        [
            f"{name(path)}:{line}: {called}()"
            for path in sources("src")
            if name(path) not in UNPICKLING
            for line, called in calls(path)
            if loaders.search(called)
        ]
    )
    refuse(lines_with(r"from (?:cloud)?pickle import|import pickle as", sources("src")))


def test_the_hash_of_the_interpreter_is_not_used() -> None:
    """`hash()` differs between processes and versions, so nothing may depend on it."""
    refuse(
        [
            f"{name(path)}:{line}"
            for path in sources("src")
            for line, called in calls(path)
            if called == "hash"
        ]
    )


def test_nothing_forks() -> None:
    """A forked child inherits locks of threads that it does not have."""
    refuse(
        lines_with(
            r"\bos\.fork|\bforkpty\b|[\"']fork(server)?[\"']|\bpreexec_fn\b|import multiprocessing"
            r"|from multiprocessing|\bProcessPoolExecutor\(",
            sources("src"),
        )
    )


def test_no_file_names_a_place_of_one_machine() -> None:
    """What is committed must mean the same everywhere; `/home/you` is an example's."""
    refuse(lines_with(r"(?<![\w.~$})/:-])/(?:home/(?!you\b)|root/|Users/|work/)\w", files()))


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the machine's setting, not the project's."""
    hosts = ("pypi", "org"), ("pythonhosted", "org"), ("crates", "io"), ("npmjs", "(org|com)")

    refuse(lines_with("|".join(rf"\b{host}\.{end}\b" for host, end in hosts), files()))
