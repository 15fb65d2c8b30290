"""How many bad records a run bears: `--skip-bad-records` and `--max-skip-ratio`.

Pure. A bad record is one for which the mapper raises. They are counted in committed tasks, so
that what a run bears does not depend on attempts that were lost:

    number   no more than were allowed, looked at with each task that is committed
    ratio    no larger share of all records, looked at once all map tasks are committed

One bad line of a small input is a large share of it. So the ratio has no say about
RATIO_FREE_MAX bad records or fewer, unless no good one is left: a mapper that raises for
everything is wrong, however little there was.
"""

from __future__ import annotations

from typing import Any

from pymr.core.spec import JobSpec
from pymr.errors import BadRecordsError, UserCodeError

RATIO_FREE_MAX = 10  # of 100 lines 5 bad ones are 5 %, and nobody would call the mapper wrong


def is_at_record(error: dict[str, Any]) -> bool:
    """Say whether an error (errors.to_dict) is what the mapper raised for a record.

    A mapper that hangs has a record, too, but has raised nothing: it would hang again.
    """
    fields = error.get("fields", {})
    is_mapper = error["type"] == UserCodeError.__name__ and fields.get("function") == "mapper"
    return is_mapper and "offset" in fields and "error_type" in fields


def refuse_number(spec: JobSpec, bad: int, records: int, error: str, *examples: object) -> None:
    """Refuse more bad records than may be left out; `error` is what most of them raise.

    Raises:
        BadRecordsError: `bad` of the `records` that were seen are too many.
    """
    allowed = spec.skip.records_max
    if bad > allowed:
        raise BadRecordsError(
            f"{_share(bad, records)} of {records:,} records failed: {error}"
            f"; expected at most {allowed:,} in the whole run (--skip-bad-records)",
            setting=f"--skip-bad-records {_rounded(bad)}",
            bad_records=bad,
            records=records,
            examples=list(examples),
        )


def refuse_ratio(spec: JobSpec, bad: int, records: int, error: str) -> None:
    """Refuse too large a share of bad records, once all `records` of the input were read.

    Raises:
        BadRecordsError: the `bad` ones are too many.
    """
    ratio = spec.skip.ratio_max
    is_all = 0 < bad == records
    if is_all or (bad > RATIO_FREE_MAX and bad > ratio * records):
        raise BadRecordsError(
            f"{_share(bad, records)} of {records:,} records failed: {error}"
            + ("" if is_all else f"; expected at most {ratio * 100:g} % (--max-skip-ratio)"),
            setting=None if is_all else f"--max-skip-ratio {-(-100 * bad // records)}%",
            bad_records=bad,
            records=records,
        )


def _share(bad: int, records: int) -> str:
    """Return `100 %` for all of them only, and never `0 %`."""
    percent = 100 * bad / records
    if percent >= 10:  # noqa: PLR2004 - two digits are enough
        return f"{int(percent)} %"
    return f"{percent:.2g} %"


def _rounded(bad: int) -> int:
    """Return a number over `bad` that somebody would type."""
    digits = int("1" + "0" * len(str(bad)))
    return digits if bad > digits // 2 else digits // 2
