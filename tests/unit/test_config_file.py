"""Settings in a file of TOML: what is refused, with its place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pymr.config import Machine, Resolved, resolve
from pymr.errors import ConfigError


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """Give an empty working directory."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    return folder


def settle(cwd: Path | str = "/nowhere", home: Path | str = "/nowhere") -> Resolved:
    """Resolve with what the files there say."""
    return resolve({}, {}, str(cwd), str(home), Machine(cores=6, memory_bytes=8 << 30))


def file_refusal(cwd: Path, text: str | bytes) -> ConfigError:
    """Return the error with which a ./pymr.toml is refused."""
    raw = text if isinstance(text, bytes) else text.encode()
    (cwd / "pymr.toml").write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        settle(cwd)
    return caught.value


def test_b83_a_string_where_toml_needs_a_number_is_refused_with_the_example(
    cwd: Path,
) -> None:
    """File, line and key are in the message and in the fields."""
    error = file_refusal(cwd, 'format = "jsonl"\nworkers = "4"\n')

    assert error.message == (
        "./pymr.toml line 2: workers is `4` (a string),"
        " expected a whole number of at least 1, such as `workers = 4`"
    )
    assert (error.fields["file"], error.fields["line"]) == ("./pymr.toml", 2)
    assert error.fields["setting"] == "workers"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("workers = true", "workers is `true`, expected a whole number of at least 1"),
        ("workers = 4.0", "workers is `4.0`, expected a whole number of at least 1"),
        ("workers = [4]", "workers is a value of type list, expected a whole number"),
        ("workers = -1", "workers is -1, expected at least 1"),
        ("memory = 1.5", "memory is `1.5`, expected a size in bytes, K, M, G or T"),
        ("memory = 1000", "memory is 1000, expected at least 256M"),
        ('memory = "much"', 'expected a size in bytes, K, M, G or T, such as `memory = "2G"`'),
        ("timeout = nan", "timeout is `nan`, expected a time in seconds, or with h, m and s"),
        ("timeout = -inf", "timeout is `-inf`, expected a time in seconds"),
        ("timeout = 0", "timeout is 0s, expected at least 0.1s"),
        ("overwrite = 1", "overwrite is `1`, expected `true` or `false`, such as `overwrite = t"),
        ("output = 3", 'output is `3`, expected a path, such as `output = "./folder"`'),
        ("max-record = 1", "no setting `max-record`, did you mean `max_record`?"),
        ("wrokers = 4", "no setting `wrokers`, did you mean `workers`?"),
        ('profile = "big"', "profile is not a table of tables, expected such as `[profile.big]`"),
    ],
)
def test_b82_b83_wrong_types_and_keys_of_toml_are_refused(
    cwd: Path, line: str, problem: str
) -> None:
    """Each message has the key and the line, where TOML lets us find it."""
    error = file_refusal(cwd, f"\n{line}\n")

    assert error.exit_code == 2
    assert problem in error.message
    assert error.message.startswith("./pymr.toml")


def test_b82_a_syntax_error_shows_the_line(cwd: Path) -> None:
    """The line of the file is quoted."""
    error = file_refusal(cwd, "attempts = 2\nworkers = = 4\n")

    assert error.message.startswith("./pymr.toml line 2: `workers = = 4` is not TOML (")
    assert error.fields["line"] == 2


def test_b82_an_unfinished_document_shows_its_last_line(cwd: Path) -> None:
    """Here TOML knows no line."""
    error = file_refusal(cwd, 'output = """never ended')

    assert "./pymr.toml line 1: `output = " in error.message


def test_b82_a_duplicate_key_is_named(cwd: Path) -> None:
    """The second place is the one to look at."""
    error = file_refusal(cwd, "workers = 4\nattempts = 2\nworkers = 5\n")

    assert error.message == (
        "./pymr.toml line 3: `workers` stands there a second time, expected each key once"
    )


def test_a_wrong_key_of_a_profile_is_found_though_it_is_not_chosen(
    cwd: Path,
) -> None:
    """Line numbers know tables: the key of the profile, not of the top."""
    error = file_refusal(cwd, "workers = 4\n[profile.big]\nworkers = 0\n")

    assert error.message == "./pymr.toml line 3: workers is 0, expected at least 1"


def test_b82_a_file_that_cannot_be_read_is_refused(cwd: Path) -> None:
    """A folder, and bytes that are not text."""
    home = cwd.parent / "home"
    not_text = file_refusal(cwd, b'attempts = 2\noutput = "\xff"\n')
    (home / ".config/pymr/config.toml").mkdir(parents=True)

    assert not_text.message == "./pymr.toml line 2: byte 0xff is not UTF-8"
    with pytest.raises(ConfigError, match=r"config\.toml is not a regular file") as caught:
        settle(home=home)
    assert caught.value.exit_code == 2


def test_b82_a_file_without_permission_is_refused(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason of the system is told. Root may read all, so the refusal is played."""
    (cwd / "pymr.toml").write_text("workers = 4\n")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError) as caught:
        settle(cwd)

    assert caught.value.message == "./pymr.toml cannot be read: Permission denied"
    assert caught.value.hint == "chmod u+r ./pymr.toml"


def test_tomllib_is_not_imported_without_a_file() -> None:
    """It would cost start-up time for nothing."""
    sys.modules.pop("pymr.config.toml_file", None)
    sys.modules.pop("tomllib", None)

    settle()

    assert "tomllib" not in sys.modules
