"""The table of settings: what the documentation says of each."""

from __future__ import annotations

from pathlib import Path

from pymr.config import SETTINGS


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
