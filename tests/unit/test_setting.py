"""The table of settings: what the documentation says of each."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pymr.config import SETTINGS, Setting, change, resolve
from pymr.config.setting import BY_NAME, ON_RESUME
from pymr.errors import ConfigError


def test_the_reference_has_a_row_for_every_setting() -> None:
    """docs/reference/config.md says what `--help` says, in the order of the table."""
    page = (Path(__file__).parents[2] / "docs/reference/config.md").read_text()
    table = page.partition("## The settings\n")[2]
    rows = [line for line in table.splitlines() if line.startswith("| `")]

    for setting, row in zip(SETTINGS, rows, strict=True):
        about, _, default = setting.help.partition(" [default: ")
        none = "off" if setting.is_flag else "none"
        value = f"`{setting.metavar}`".replace("|", "\\|") if setting.metavar else "switch"
        assert row == (
            f"| `{setting.name}` | {value} | {about} | {default.removesuffix(']') or none} |"
        )


def test_what_may_change_when_a_run_is_resumed_is_how_it_is_done() -> None:
    """Flags count over the settings of the start; those that decide the result are refused."""
    before = resolve({"workers": 4, "reducers": 3, "keep": True}, {}, "/no", "/no").settings
    flags = {"workers": "2", "timeout": "9s", "reducers": None}
    now = resolve(flags, {"PYMR_MEMORY": "1G", "PYMR_QUIET": "1"}, "/no", "/no").settings

    changed = change(before, flags, now)

    assert (changed.workers, changed.timeout_s) == (2, 9.0)
    assert (changed.reducers, changed.keep) == (3, True)
    assert changed.memory_bytes == before.memory_bytes, "what holds by the way does not count"
    assert changed.quiet, "how to report is this command's affair"
    assert set(BY_NAME) >= ON_RESUME


@pytest.mark.parametrize("setting", [s for s in SETTINGS if not s.on_resume], ids=lambda s: s.name)
def test_a_setting_that_decides_the_result_is_frozen(setting: Setting) -> None:
    """Whatever its value: the message names the flag, and how to have another result.

    To say again what holds is no change: `--on kubernetes` tells where a run is, too.
    """
    before = resolve({}, {}, "/no", "/no").settings
    now = msgspec.structs.replace(before, **{setting.field: "x"})

    with pytest.raises(ConfigError, match=f"^{setting.flag} cannot change") as caught:
        change(before, {setting.name: "x"}, now)

    assert change(now, {setting.name: "x"}, now) == now
    assert f"pymr start {setting.flag} …" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("raw", "share"),
    [("1%", 0.01), ("0.5 %", 0.005), ("100%", 1.0), ("0%", 0.0), ("0.25", 0.25), (0.25, 0.25)],
)
def test_a_share_is_a_percentage_or_a_fraction(raw: str | float, share: float) -> None:
    """Both are shown as a percentage."""
    settings = resolve({"max_skip_ratio": raw}, {}, "/no", "/no").settings

    assert settings.max_skip_ratio == pytest.approx(share)
    assert BY_NAME["max_skip_ratio"].show(0.005) == "0.5%"


@pytest.mark.parametrize("raw", ["1", "1.5", "-1%", "101%", "1e-2", "%", "", 2.0, 1, True])
def test_what_may_be_meant_otherwise_is_no_share(raw: object) -> None:
    """`1` might be all of it, or one in a hundred."""
    with pytest.raises(ConfigError, match=r"^(flag --max-skip-ratio|max_skip_ratio|--max-skip)"):
        resolve({"max_skip_ratio": raw}, {}, "/no", "/no")
