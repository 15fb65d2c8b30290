"""Settings: how a value is written, refused, and which layer wins."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pymr.config import SETTINGS, Machine, Resolved, Settings, resolve
from pymr.config.value import spell_size
from pymr.errors import ConfigError

MACHINE = Machine(cores=6, memory_bytes=8 << 30, processes_max=None)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Give an empty working directory and an empty home."""
    cwd, home = tmp_path / "cwd", tmp_path / "home"
    cwd.mkdir()
    (home / ".config" / "pymr").mkdir(parents=True)
    return cwd, home


def settle(
    flags: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
    *,
    cwd: Path | str = "/nowhere",
    home: Path | str = "/nowhere",
    machine: Machine = MACHINE,
) -> Resolved:
    """Resolve with nothing given but what the test is about."""
    return resolve(flags or {}, environ or {}, str(cwd), str(home), machine)


def refusal(**given: object) -> str:
    """Return the message with which the flags are refused."""
    with pytest.raises(ConfigError) as caught:
        settle(given)
    assert caught.value.exit_code == 2
    return caught.value.message


def test_table_and_struct_have_the_same_fields_in_the_same_order() -> None:
    """A row without a field, or a field without a row, is found here."""
    assert [setting.field for setting in SETTINGS] == list(Settings.__struct_fields__)


def test_every_value_fits_the_type_of_its_field() -> None:
    """The defaults and an example of every kind pass a strict check of the struct's types."""
    examples = {setting.name: setting.kind.example for setting in SETTINGS}
    del examples["profile"]

    for settings in (settle().settings, settle(examples).settings):
        assert msgspec.convert(msgspec.to_builtins(settings), Settings) == settings


def test_every_help_line_is_a_phrase_with_its_default() -> None:
    """`--help` says what holds if the flag is not given."""
    lines = {setting.flag: setting.help for setting in SETTINGS}

    assert lines["--max-record"] == "largest record of an input [default: 64M]"
    assert lines["--workers"].endswith("[default: the cores available]")
    assert lines["--overwrite"] == "replace an output that exists"
    assert not [line for line in lines.values() if line.endswith(".")]


def test_defaults_come_from_the_machine_and_the_table() -> None:
    """Workers are the cores, memory is half of the machine's."""
    resolved = settle()

    assert resolved.settings.workers == 6
    assert resolved.settings.memory_bytes == 4 << 30
    assert resolved.settings.attempts == 4
    assert resolved.settings.timeout_s is None
    assert resolved.origin("workers") == "default"
    assert resolved.warnings == ()


def test_default_memory_of_a_tiny_machine_is_the_least_allowed() -> None:
    """A default is never a value that the setting itself refuses."""
    tiny = Machine(cores=1, memory_bytes=300 << 20)

    assert settle(machine=tiny).settings.memory_bytes == 256 << 20


def test_layers_win_in_the_order_flag_variable_project_user_default(
    folders: tuple[Path, Path],
) -> None:
    """Taking the highest layer away uncovers the next, and the origin says which it was."""
    cwd, home = folders
    (home / ".config/pymr/config.toml").write_text("attempts = 1\n")
    user = settle(cwd=cwd, home=home)
    (cwd / "pymr.toml").write_text("# comment\n\nattempts = 2\n")
    project = settle(cwd=cwd, home=home)
    variable = settle(environ={"PYMR_ATTEMPTS": "3"}, cwd=cwd, home=home)
    flag = settle({"attempts": "5"}, {"PYMR_ATTEMPTS": "3"}, cwd=cwd, home=home)

    assert [r.settings.attempts for r in (user, project, variable, flag)] == [1, 2, 3, 5]
    assert [r.origin("attempts") for r in (user, project, variable, flag)] == [
        "~/.config/pymr/config.toml line 1",
        "./pymr.toml line 3",
        "environment PYMR_ATTEMPTS",
        "flag --attempts",
    ]


def test_xdg_config_home_replaces_dot_config(tmp_path: Path) -> None:
    """An absolute $XDG_CONFIG_HOME is used; a relative one is ignored, as its standard says."""
    (tmp_path / "pymr").mkdir()
    (tmp_path / "pymr/config.toml").write_text("attempts = 7")

    assert settle(environ={"XDG_CONFIG_HOME": str(tmp_path)}).settings.attempts == 7
    assert settle(environ={"XDG_CONFIG_HOME": "pymr"}, cwd=tmp_path).settings.attempts == 4


def test_a_profile_goes_before_the_top_of_its_file(folders: tuple[Path, Path]) -> None:
    """`[profile.NAME]` overrides the file's own top; what it leaves out stays."""
    cwd, home = folders
    (cwd / "pymr.toml").write_text('attempts = 2\nmemory = "1G"\n\n[profile.big]\nmemory = "4G"\n')

    for resolved in (
        settle({"profile": "big"}, cwd=cwd, home=home),
        settle(environ={"PYMR_PROFILE": "big"}, cwd=cwd, home=home),
    ):
        assert resolved.settings.memory_bytes == 4 << 30
        assert resolved.settings.attempts == 2
        assert resolved.settings.profile == "big"
        assert resolved.origin("memory") == "./pymr.toml line 5"
    assert settle(cwd=cwd, home=home).settings.memory_bytes == 1 << 30


def test_a_profile_that_is_nowhere_is_refused_with_the_nearest(
    folders: tuple[Path, Path],
) -> None:
    """A misspelt profile does not silently mean no profile."""
    cwd, home = folders
    (cwd / "pymr.toml").write_text("[profile.laptop]\nworkers = 1\n")

    with pytest.raises(ConfigError, match=r"no profile `labtop` .*, did you mean `laptop`\?"):
        settle({"profile": "labtop"}, cwd=cwd, home=home)


def test_a_flag_that_is_false_by_file_and_true_by_variable_is_true(
    folders: tuple[Path, Path],
) -> None:
    """Booleans are layered like everything else; an empty variable is not set."""
    cwd, home = folders
    (cwd / "pymr.toml").write_text("overwrite = true\n")

    assert settle({"overwrite": None}, cwd=cwd, home=home).settings.overwrite is True
    assert settle({"overwrite": False}, cwd=cwd, home=home).settings.overwrite is False
    for text, value in {"no": False, "0": False, "TRUE": True, "": True}.items():
        environ = {"PYMR_OVERWRITE": text}
        assert settle(environ=environ, cwd=cwd, home=home).settings.overwrite is value


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1073741824", 1 << 30),
        ("512M", 512 << 20),
        ("1.5G", 3 << 29),
        ("640MiB", 640 << 20),
        ("536870912B", 1 << 29),
    ],
)
def test_b83_sizes_are_written_in_powers_of_two(text: str, size: int) -> None:
    """The accepted ways to write a size."""
    assert settle({"memory": text}).settings.memory_bytes == size


@pytest.mark.parametrize("text", ["-1", "1e9", "many", "NaN", "1,5G", "1.5.G", "٣G", "G"])
def test_b83_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    """The message names the flag, the value, and what would do."""
    assert refusal(memory=text) == (
        f"--memory is `{text}`, expected a size in bytes, K, M, G or T, such as `--memory 2G`"
    )


@pytest.mark.parametrize("text", ["512MB", "512m", "512mb"])
def test_the_example_of_another_spelling_is_that_size(text: str) -> None:
    """B83: what may mean 512,000,000 is not guessed, but what to type is shown."""
    assert refusal(memory=text) == (
        f"--memory is `{text}`, expected a size in bytes, K, M, G or T, such as `--memory 512M`"
    )


def test_the_example_of_another_spelling_is_no_size_that_would_be_refused() -> None:
    """That would be two messages for one mistake."""
    assert refusal(memory="10MB").endswith("such as `--memory 256M`")


def test_memory_under_its_minimum_is_refused() -> None:
    """The interpreter itself would not fit."""
    assert refusal(memory="255M") == "--memory is 255M, expected at least 256M"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("0.5s", 0.5), ("1h5s", 3605)],
)
def test_durations_are_seconds_or_have_units(text: str, seconds: float) -> None:
    """The accepted ways to write a time."""
    assert settle({"timeout": text}).settings.timeout_s == seconds


@pytest.mark.parametrize("text", ["", "h", "1h30", "30m1h", "5 m", "-5", "1d", "inf", "nan"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """`1h30` is refused, since it does not say of what there are 30."""
    assert refusal(timeout=text) == (
        f"--timeout is `{text}`, expected a time in seconds, or with h, m and s,"
        " such as `--timeout 1h30m`"
    )


@pytest.mark.parametrize("given", ["1500:1", "1500", 1500])
def test_a_ratio_is_written_with_or_without_its_one(given: object) -> None:
    """It is shown with it."""
    resolved = settle({"max_expansion": given})

    setting = next(setting for setting in SETTINGS if setting.name == "max_expansion")
    assert resolved.settings.max_expansion == 1500
    assert setting.show(1500) == "1500:1"


@pytest.mark.parametrize("text", ["", "0:1", "200:2", "1:200", ":1", "1.5:1", "-1", "٤:1"])
def test_what_is_no_ratio_is_refused_with_an_example(text: str) -> None:
    """A file never becomes less by a limit under one."""
    assert refusal(max_expansion=text) == (
        f"--max-expansion is `{text}`, expected a ratio `N:1`, or `N`,"
        " such as `--max-expansion 200:1`"
    )


def test_a_typed_ratio_has_bounds() -> None:
    """As text has."""
    assert refusal(max_expansion=0) == "--max-expansion is 0:1, expected at least 1:1"


def test_a_seed_may_be_nought_and_has_thirty_two_bits() -> None:
    """Nought is the default."""
    assert settle({"partition_seed": "0"}).settings.partition_seed == 0
    assert settle({"partition_seed": 2**32 - 1}).settings.partition_seed == 2**32 - 1
    assert "expected at most 4294967295" in refusal(partition_seed=str(2**32))


@pytest.mark.parametrize("text", ["-1", "1e3", "many", "NaN", "4.0", " 4", "4_0", "٤", "9" * 5000])
@pytest.mark.parametrize("name", ["workers", "mappers", "reducers", "attempts"])
def test_b70_b71_b83_what_is_no_whole_number_is_refused_with_an_example(
    name: str, text: str
) -> None:
    """Numbers have digits only; a long value is shortened in the message."""
    message = refusal(**{name: text})

    assert message.startswith(f"--{name} is `{text[:79]}")
    assert "expected a whole number of at least 1, such as `--" in message
    assert len(message) < 200


def test_b67_zero_reducers_are_refused_with_the_way_to_say_it() -> None:
    """A map-only job is said in worker.py."""
    assert refusal(reducers="0") == (
        "--reducers is 0, expected at least 1; for a job without a reduce phase"
        " set reducer=None in worker.py"
    )


def test_b69_too_many_reducers_are_refused_with_the_reason() -> None:
    """Each pair of a map task and a reduce task costs."""
    assert refusal(reducers=100_000) == (
        "--reducers is 100000, expected at most 10000:"
        " every map output keeps an index of all partitions"
    )


@pytest.mark.parametrize(
    ("name", "text", "bound"),
    [
        ("workers", "9" * 20, "1000000"),
        ("memory", "9" * 20, "1024T"),
        ("timeout", "9" * 20, "31622400s"),
        ("timeout", "9" * 20 + "h", "31622400s"),
        ("max_expansion", "9" * 20, "999999999:1"),
    ],
)
def test_a_number_of_many_digits_is_told_its_bound(name: str, text: str, bound: str) -> None:
    """It is a number, only too large."""
    assert f"expected at most {bound}" in refusal(**{name: text})


@pytest.mark.parametrize("count", ["0", 0, -1])
def test_b71_less_than_one_worker_is_refused(count: object) -> None:
    """A typed value has the same bounds as text."""
    assert refusal(workers=count) == f"--workers is {count}, expected at least 1"


def test_b71_too_many_workers_are_clamped_with_a_notice() -> None:
    """The limit of the machine is said, and the run goes on."""
    small = Machine(cores=2, memory_bytes=8 << 30, processes_max=100)

    clamped = settle({"workers": "60"}, machine=small)
    kept = settle({"workers": "50"}, machine=small)
    huge = settle({"workers": "5000"})

    assert clamped.settings.workers == 50
    assert clamped.warnings == (
        "workers is 60, going on with 50, half of the 100 processes allowed here (ulimit -u)",
    )
    assert (kept.settings.workers, kept.warnings) == (50, ())
    assert huge.settings.workers == 1024


def test_workers_of_other_machines_are_not_limited_by_this_one() -> None:
    """Pods are not processes here, nor are workers that join."""
    small = Machine(cores=2, memory_bytes=8 << 30, processes_max=100, files_max=64)

    for where in ("kubernetes", "hosts"):
        far = settle({"workers": "5000", "on": where}, machine=small)
        assert (far.settings.workers, far.warnings) == (5000, ())


def test_default_workers_respect_the_limits_of_processes_and_files() -> None:
    """Many cores and few allowed processes or open files is a machine where the default must work."""
    narrow = Machine(cores=64, memory_bytes=8 << 30, files_max=64)
    crowded = Machine(cores=64, memory_bytes=8 << 30, processes_max=20)

    assert settle(machine=crowded).settings.workers == 10
    assert settle(machine=narrow).settings.workers == 9
    assert settle({"workers": 30}, machine=narrow).warnings == (
        "workers is 30, going on with 9, with five of the 64 open files allowed here (ulimit -n)"
        " for each",
    )


def test_a_choice_is_one_of_its_words() -> None:
    """The message lists them."""
    assert refusal(format="csv") == "--format is `csv`, expected `tsv` or `jsonl`"
    assert refusal(newline=4) == "--newline is `4`, expected `auto` or `lf`"


NAMES_AND_ESCAPES = ("idna", "punycode", "unicode_escape", "raw_unicode_escape")


@pytest.mark.parametrize(
    "text",
    ["hex", "rot13", "undefined", *NAMES_AND_ESCAPES, "no-such", "a\0b", "utf-8\n\x1b[31m"],
)
def test_b87_an_encoding_must_be_one_of_text_files(text: str) -> None:
    """Codecs of names and escapes are none. The value has no control characters."""
    message = refusal(encoding=text)

    assert "expected a text encoding that Python knows" in message
    assert message.isprintable()


def test_an_encoding_gets_its_one_name() -> None:
    """The same encoding under two names is the same setting, and the same job."""
    assert settle({"encoding": "UTF8"}).settings.encoding == "utf-8"
    assert settle({"encoding": "utf-8-sig"}).settings.encoding == "utf-8"
    assert settle({"encoding": "latin-1"}).settings.encoding == "iso8859-1"


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "-x", "a" * 64, "naïve", "a\n"])
def test_a_job_name_is_a_safe_folder_name(name: str) -> None:
    """It becomes a part of a path."""
    assert refusal(name=name).startswith("--name is `")


def test_b84_environment_garbage_names_the_variable() -> None:
    """The user may not know that the variable is set."""
    with pytest.raises(ConfigError) as caught:
        settle(environ={"PYMR_WORKERS": "many"})

    assert caught.value.exit_code == 2
    assert caught.value.message == (
        "PYMR_WORKERS is `many`, expected a whole number of at least 1, such as `PYMR_WORKERS=4`"
    )


def test_a_hidden_wrong_value_is_refused_all_the_same() -> None:
    """A mistake is found when it is made, not when the flag above it goes away."""
    with pytest.raises(ConfigError, match="PYMR_WORKERS is `many`"):
        settle({"workers": "2"}, {"PYMR_WORKERS": "many"})


def test_an_unknown_variable_is_a_warning_with_the_nearest() -> None:
    """Another program may own the name, so it is no error."""
    resolved = settle(environ={"PYMR_WORKER": "4", "PATH": "/bin"})

    assert resolved.warnings == (
        "`PYMR_WORKER` is not a setting and has no effect, did you mean `PYMR_WORKERS`?",
    )


def test_an_unknown_name_in_a_call_is_refused_with_the_nearest() -> None:
    """`pymr.run(job, worker=4)` is a mistake."""
    assert refusal(worker=4) == "no setting `worker`, did you mean `workers`?"


def test_shown_sizes_read_back() -> None:
    """What a message or `pymr config` shows can be typed."""
    for size in (256 << 20, 3 << 29, 1 << 40, 12345 << 20, 300 << 20):
        assert settle({"memory": spell_size(size)}).settings.memory_bytes == size
    assert spell_size(1000) == "1000"
