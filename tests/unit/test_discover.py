"""What becomes of names: rows B1 to B6, B20, B25 to B34."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from input_samples import find, names, refused, write
from pymr.core.plan import grid_step
from pymr.errors import ConfigError, OutputError

NOBODY = 65534


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_b1_a_missing_input_is_named_with_what_is_like_it():
    """Nothing is done before the error, and the hint helps with a slip of the finger."""
    write("access.log")
    write("zebra")

    error = refused("acess.log")

    assert error.message == "no such input: `acess.log`"
    assert error.hint == "there is `access.log`"


def test_b1_names_that_are_not_like_the_missing_one_are_not_named():
    """They would send the reader to the wrong file: a command shows them all."""
    for name in ("worker.py", "in.txt", "out", "a b/c"):
        write(name)

    assert refused("nope").hint == "ls   shows what there is"
    assert refused("a b/nope").hint == "ls 'a b'   shows what there is"


def test_b1_of_a_missing_folder_the_one_above_is_shown():
    """There is nothing to compare with, and nothing to list."""
    write("logs/2024/x")

    assert refused("logs/2025/01/x").hint == "ls logs   shows what there is"
    assert refused("/no/such/file").hint == "ls /   shows what there is"


def test_b2_a_glob_in_an_empty_folder_says_how_to_look(here: Path):
    """No name is like it, as there is none."""
    (here / "logs").mkdir()

    assert refused("logs/*.gz").hint == "ls logs   shows what there is"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_b1_a_name_that_no_file_can_have_is_a_missing_input(name):
    """Empty names and NUL bytes are refused like any other missing file."""
    assert refused(name).message.startswith("no such input: `")


def test_b2_a_glob_that_matches_nothing_shows_the_three_nearest_names():
    """The nearest first, of however many there are."""
    for name in ("logs/mon.txt", "logs/tue.txt", "logs/mon.text", "logs/zzzz"):
        write(name)

    error = refused("logs/mo*.log")

    assert error.message == "no input matches the glob: `logs/mo*.log`"
    assert len(error.fields["nearest"]) == 3
    assert error.fields["nearest"][0].startswith("logs/mon")


def test_b2_globs_are_sorted_by_the_bytes_of_the_names_in_the_order_given():
    """Each input stays where it was given; what it stands for is sorted."""
    for name in ("b.txt", "a.txt", "B.txt", "é.txt", "last.log", "d/x.txt"):
        write(name)

    assert names("last.log", "*.txt") == [
        b"last.log",
        b"B.txt",
        b"a.txt",
        b"b.txt",
        "é.txt".encode(),
    ]
    assert names("**/x.txt") == [b"d/x.txt"]


def test_a_glob_of_any_depth_reads_each_file_once_and_no_notes():
    """It matches directories, too, and an output of ours is no input by its journal."""
    for name in (
        "d/x",
        "d/a/b/x",
        "d/_pymr/run/journal",
        "d/a/_tmp/b/x",
        "_mine/x",
        "_mine/_pymr/x",
    ):
        write(name)

    assert names("d/**") == [b"d/a/b/x", b"d/x"]
    assert names("d/*/*") == [b"d/a/b/x"]
    assert names("**/x") == [b"d/a/b/x", b"d/x"]
    assert names("_mine/**") == [b"_mine/x"]
    assert names("d/_pymr/**") == [b"d/_pymr/run/journal"]


def test_a_name_that_exists_is_that_file_even_if_it_looks_like_a_glob():
    """`a[1].txt` would match `a1.txt` as a glob."""
    write("a[1].txt")
    write("a1.txt")

    assert names("a[1].txt") == [b"a[1].txt"]


def test_b3_a_directory_is_its_files_and_its_directories_are_mentioned():
    """Without `--recursive` what lies deeper is left out, and the warning says so."""
    write("in/b")
    write("in/a")
    write("in/deep/c")

    found = find("in")

    assert [file.path for file in found.files] == [b"in/a", b"in/b"]
    assert found.warnings == (
        "a directory in an input directory left out: `in/deep`; --recursive reads them",
    )
    assert names("in/", recursive=True) == [b"in/a", b"in/b", b"in/deep/c"]


def test_b3_a_directory_that_holds_only_directories_needs_recursive():
    """The hint is the setting that helps."""
    write("in/deep/c")

    assert refused("in").hint == "--recursive reads its directories too"


def test_b4_an_empty_directory_is_refused_unless_allowed():
    """It is more often a mistake than a wish."""
    Path("in").mkdir()

    error = refused("in")

    assert error.message == "no input files in `in`"
    assert error.hint == "--allow-empty"
    assert names("in", allow_empty=True) == []
    assert find("in", allow_empty=True).warnings == ("all inputs are empty: there are no records",)


def test_b5_b6_empty_files_are_inputs_and_a_warning_if_there_are_no_others():
    """A file of zero bytes has a step, and no records."""
    write("a", b"")
    write("b", b"")

    found = find("a", "b")

    assert [(file.size, file.step) for file in found.files] == [(0, 1), (0, 1)]
    assert found.warnings == ("all inputs are empty: there are no records",)
    write("b")
    assert find("a", "b").warnings == ()


def test_no_input_is_a_config_error():
    """There is nothing to look for."""
    with pytest.raises(ConfigError, match="no input given"):
        find()


def test_b20_a_thousand_tiny_files_are_found_in_order():
    """Every file has its own grid, and all are in the list."""
    for number in range(1000):
        write(f"in/{number:04d}", b"x")

    found = find("in")

    assert [file.path for file in found.files] == [b"in/%04d" % n for n in range(1000)]
    assert {(file.size, file.step) for file in found.files} == {(1, 1)}


def test_the_plan_of_a_file_holds_what_tells_that_it_has_changed():
    """Size, inode and time of change, and the step of the grid."""
    write("a", b"x" * 5000)
    seen = Path("a").stat()

    [file] = find("a").files

    assert (file.size, file.inode, file.mtime_ns) == (5000, seen.st_ino, seen.st_mtime_ns)
    assert file.step == grid_step(5000) == 256
    assert (file.stream, file.compression, file.spool) == (False, None, None)


@pytest.fixture
def as_a_user(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test in a folder of, and as, somebody who may not read everything."""
    with tempfile.TemporaryDirectory() as folder:
        user = os.geteuid() or NOBODY
        os.chown(folder, user, -1)
        monkeypatch.chdir(folder)
        root = os.geteuid()
        os.seteuid(user)
        yield
        os.seteuid(root)


@pytest.mark.usefixtures("as_a_user")
def test_b25_all_unreadable_files_are_listed_at_once():
    """One run tells everything there is to mend."""
    for name in ("in/a", "in/b", "in/c"):
        write(name)
    Path("in/a").chmod(0)
    Path("in/c").chmod(0)

    error = refused("in")

    assert error.message == (
        "cannot read 2 inputs: `in/a`: Permission denied; `in/c`: Permission denied"
    )


@pytest.mark.usefixtures("as_a_user")
def test_b25_a_closed_directory_is_not_taken_for_a_missing_one():
    """What may not be looked into is named with the reason."""
    write("in/a")
    Path("in").chmod(0o400)
    listed, named = refused("in"), refused("in/a")
    Path("in").chmod(0)
    closed = refused("in")
    Path("in").chmod(0o700)

    assert listed.message == "cannot read an input: `in/a`: Permission denied"
    assert named.message == "cannot read `in/a`: Permission denied"
    assert closed.message == "cannot read the directory `in`: Permission denied"


def test_b25_b26_all_links_that_lead_nowhere_are_listed_at_once():
    """Every file that cannot be opened is named, with its own reason."""
    write("in/b")
    Path("in/a").symlink_to("gone")
    Path("in/c").symlink_to("c")

    error = refused("in")

    assert error.message == (
        "cannot read 2 inputs:"
        " `in/a`: a symbolic link to `gone`, which does not exist;"
        " `in/c`: a loop of symbolic links"
    )
    assert error.fields["inputs"] == ["in/a", "in/c"]


def test_b25_a_long_list_of_unreadable_files_is_cut_in_the_message_only():
    """A hundred names are enough for a message; the fields have all."""
    Path("in").mkdir()
    for number in range(103):
        Path(f"in/{number:03d}").symlink_to("gone")

    error = refused("in")

    assert error.message.endswith("; and 3 more")
    assert len(error.fields["inputs"]) == 103


def test_b26_a_dangling_link_and_a_loop_are_named():
    """The target says what is missing."""
    Path("dangling").symlink_to("gone\n")
    Path("loop").symlink_to("loop")

    assert refused("dangling").message == (
        "cannot read `dangling`: a symbolic link to `gone\\n`, which does not exist"
    )
    assert refused("loop").message == "cannot read `loop`: a loop of symbolic links"


def test_b26_a_directory_that_links_to_one_above_is_a_loop():
    """A recursive walk ends, with the name of the link."""
    write("in/deep/a")
    Path("in/deep/up").symlink_to("..")

    error = refused("in", recursive=True)

    assert error.message == "input `in/deep/up` is a loop of symbolic links"


def test_b27_what_is_no_regular_file_is_refused():
    """Nothing is opened that could wait or never end."""
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")

    error = refused("fifo")

    assert error.message == "input `fifo` is not a regular file but a FIFO"
    assert error.hint == "cat fifo | pymr start --input - …"
    assert refused("/dev/zero").message.endswith("not a regular file but a character device")
    for name in ("/dev/zero", "socket"):  # Of which `cat` would not end, or not begin.
        assert refused(name).hint == "--input PATH, or --input - for standard input"
    assert refused("socket").message.endswith("not a regular file but a socket")


NAMES = [b"a\nb", b"'\"", b"100%", "😀".encode(), b"\xff\xfe", b"\x1b[31mred", b"-x", b"a b"]


@pytest.mark.parametrize("name", NAMES)
def test_b29_b30_any_name_is_found_and_shown_without_control_characters(name):
    """Names are bytes; messages have no terminal escapes."""
    write(b"in/" + name, b"\xff\xfea\0")

    error = refused(b"in/" + name)

    assert error.message.isprintable()
    assert names(os.fsdecode(b"in/" + name), input_format="whole") == [b"in/" + name]
    assert names("in", input_format="whole") == [b"in/" + name]


def test_b29_names_are_escaped_as_python_would():
    """What is not printable, and what is no UTF-8, shows its code."""
    write(b"\x1b[31m\xff\n", b"\xff\xfe")

    assert "input `\\x1b[31m\\xff\\n` looks like" in refused(b"\x1b[31m\xff\n").message


def test_b31_the_same_file_twice_is_refused_unless_allowed():
    """Counting a file twice is a wrong answer that looks right."""
    write("a")
    Path("link").symlink_to("a")

    error = refused("a", "a")

    assert error.message == "input `a` is given twice"
    assert error.hint == "--allow-duplicates reads it twice"
    assert refused("a", "link").message == "inputs `a` and `link` are the same file"
    assert refused("a", "./a", "x*").exit_code == 3
    assert names("a", "link", allow_duplicates=True) == [b"a", b"link"]


@pytest.mark.parametrize(
    "given", ["out/part-00000.tsv", "out", "out/", "out/.", "in/link", "o*", "out/*", "."]
)
def test_b32_b33_an_input_in_the_output_is_refused(here, given):
    """Not by name but by place: links are followed."""
    write("out/part-00000.tsv")
    write("in/other")
    Path("in/link").symlink_to("../out/part-00000.tsv")

    with pytest.raises(OutputError) as caught:
        find(given, output=str(here / "out"), recursive=True)

    assert caught.value.exit_code == 4
    assert caught.value.hint == "--output with another directory"


def test_b32_a_folder_beside_the_output_with_a_longer_name_is_fine(here):
    """`out2` does not lie in `out`, and neither does what holds `out`."""
    write("out/part-00000.tsv")
    write("out2/a")
    write("b")

    assert names("out2", ".", output=str(here / "out")) == [b"out2/a", b"./b"]
    assert names("out/..", output=str(here / "out")) == [b"out/../b"]


def test_b33_the_output_itself_is_refused_before_it_is_looked_into(here):
    """Also when it is empty, or not there."""
    Path("out").mkdir()

    with pytest.raises(OutputError, match="input `out` is the output"):
        find("out", output=str(here / "out"))


def test_b34_files_of_other_tools_are_skipped_and_counted():
    """In directories and globs; a name given by itself is read."""
    for name in ("in/a", "in/.hidden", "in/_SUCCESS", "in/_pymr/x", "in/.a.crc", "in/b.crc"):
        write(name)

    found = find("in")

    assert [file.path for file in found.files] == [b"in/a"]
    assert found.hidden_skipped == 5
    assert find("in/*").hidden_skipped == 3  # the shell's `*` leaves out the two with a dot
    assert names("in/*") == [b"in/a"]
    write("in/_x")
    assert names("in/*") == [b"in/_x", b"in/a"]  # who writes a glob means what it matches
    assert names("in/_*S") == [b"in/_SUCCESS"]
    assert names("in/.hidden") == [b"in/.hidden"]


def test_b34_a_directory_with_nothing_but_hidden_files_says_so():
    """The hint tells why it looks empty."""
    write("in/_SUCCESS", b"")

    assert refused("in").hint == "files that begin with `.` or `_` are read when named one by one"
