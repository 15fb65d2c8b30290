"""What is written anew in place of a lost map output must be what was written before. Pure."""

from __future__ import annotations

from pymr.core.spec import Receipt
from pymr.errors import IntegrityError


def refuse_another_output(before: Receipt, after: Receipt, *, was_read: bool) -> None:
    """Refuse another output for a map task that was committed before.

    Raises:
        IntegrityError: it differs. Other code may write something else, as long as no
            reduce task has read what was there before (`was_read`).
    """
    if _output_of(before) == _output_of(after):
        return
    task = before.attempt
    if before.code_digest == after.code_digest:
        raise IntegrityError(
            f"the mapper is not deterministic: `{task}` was run again, its output having been"
            f" lost, and gave {_told(after)}, expected {_told(before)} as before",
            hint="random numbers, times and the order of a set differ from run to run",
            task=str(task),
        )
    if was_read:
        raise IntegrityError(
            f"the output of `{task}` was lost after reduce tasks had read it, and the code"
            f" as it is now gives {_told(after)}, expected {_told(before)} as before",
            hint="pymr resume --restart RUN   does all tasks again",
            task=str(task),
        )


def _output_of(receipt: Receipt) -> tuple[object, ...]:
    return receipt.emitted, receipt.written, receipt.sha256, receipt.bad_records


def _told(receipt: Receipt) -> str:
    """Return what an attempt wrote, for a message."""
    digest = receipt.sha256 or f"{receipt.written.fingerprint:032x}"
    return f"{receipt.emitted:,} pairs with fingerprint `{digest[:16]}`"
