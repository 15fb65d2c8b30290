"""What came of a run that is committed, in words: at most 15 lines.

Everything that a user's data can put into these lines is escaped; what to do next is always a
command or a setting that exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pymr.core.spec import Receipt
from pymr.observe.quantity import (
    show_count,
    show_elapsed,
    show_many,
    show_memory,
    show_percent,
    show_size,
)
from pymr.observe.snapshot import PhaseState, Snapshot
from pymr.task.manifest import Manifest, Settings
from pymr.text_form import show_text

LINES_MAX = 15
ROWS_MAX = 3  # first records that are shown
ROW_CHARS_MAX = 80
WARNINGS_SHOWN_MAX = 3
COUNTERS_SHOWN_MAX = 6
SLOW_RATIO = 1.5  # the slowest task is named from here on …
SLOW_S_MIN = 1.0  # … unless it took less than a second: that is noise
SKEW_SHARE = 0.5  # of all records in one partition …
KEY_SHARE_MIN = 0.1  # of all records: a key with less is not named
SKEW_RATIO = 1.5  # … and so many times its fair share: of two, one always has half


def render_success(
    manifest: Manifest,
    snapshot: Snapshot | None,
    output: str,
    first_rows: Sequence[bytes] = (),
) -> str:
    """Return the summary of a committed run, without a newline at its end.

    `output` is the folder as the user would type it; `first_rows` are raw rows of its first
    part that has any.
    """
    name = show_text(manifest.name)
    notes = [*_damage(manifest), *_advice(manifest, snapshot), *_warnings(manifest, snapshot)]
    head = [
        _headline(manifest, name, snapshot),
        *_bad_records(manifest, name),
        _books(manifest),
        *_memory(manifest),
    ]
    tail = [*_rows(manifest, output, first_rows), f"  next: pymr head {name} · pymr verify {name}"]
    room = LINES_MAX - len(head) - len(tail)
    if len(notes) > room:
        more = show_many(len(notes) - room + 1, "more note")
        notes = [*notes[: room - 1], f"  … {more}: pymr show {name}"]
    return "\n".join([*head, *notes, *tail])


def _headline(manifest: Manifest, name: str, snapshot: Snapshot | None) -> str:
    ledger = manifest.ledger
    read = f"{show_size(ledger['bytes_in'])}, {show_many(ledger['records_in'], 'record')} in"
    wrote = f"{show_many(manifest.records, 'record')} out, {show_many(len(manifest.parts), 'part')}"
    took = show_took(manifest.created, manifest.finished, snapshot)
    return f"✓ {name} done in {took}   {read} → {wrote}, {show_size(manifest.bytes)}"


def show_took(started: float, ended: float, snapshot: Snapshot | None) -> str:
    """Return how long a run took, and what of that was since its last resume.

    A replay is told alone: before it the run was done.
    """
    took = show_elapsed(ended - started)
    if snapshot is None or snapshot.resumed is None:
        return took
    last = show_elapsed(ended - snapshot.resumed)
    return last if snapshot.is_replay else f"{took} ({last} since its last resume)"


def _bad_records(manifest: Manifest, name: str) -> Iterator[str]:
    """Yield how many records were left out since the mapper raises for them."""
    bad = manifest.bad_records
    if bad is not None:
        skipped = f"{show_many(bad.count, 'record')} skipped: the mapper raised"
        yield f"  WARNING {skipped}; pymr errors {name}; after a fix   pymr replay {name}"


def _books(manifest: Manifest) -> str:
    """Return the sums of the ledger as one equation, exact to the record."""
    ledger = manifest.ledger
    read = f"  books balance: {show_size(ledger['bytes_in'])} read once, "
    emitted, written = ledger["emitted"], ledger["written"]["records"]
    if not manifest.settings.reducers:
        return f"{read}{emitted:,} emitted = written"
    combined = ledger["combined_in"] - ledger["combined_out"]
    merged = ledger["reduce_combined_in"] - ledger["reduce_combined_out"]
    sums = f"{emitted:,} emitted"
    if combined:
        sums += f" - {combined:,} combined = {written:,} shuffled"
    else:
        sums += " = shuffled"
    if merged:
        return f"{read}{sums} - {merged:,} combined = {ledger['reduced']:,} reduced"
    return f"{read}{sums} = reduced"


def _memory(manifest: Manifest) -> Iterator[str]:
    """Yield the most that all processes used together, if that is known."""
    memory = manifest.memory
    if memory is not None and memory.peak_bytes is not None:
        yield f"  memory peak {show_memory(memory.peak_bytes, memory.limit_bytes)}"


def _damage(manifest: Manifest) -> Iterator[str]:
    """Yield what was changed or left out of the input on the way in."""
    ledger, text = manifest.ledger, manifest.settings.text
    replaced, skipped = ledger["replaced"], ledger["skipped"]
    files = show_many(len(ledger["damaged_inputs"]), "file")
    if replaced:
        left_out = f", {show_count(skipped)} left out" if skipped else ""
        yield (
            f"  {files} had bytes that are not {text.encoding.upper()}:"
            f" {show_many(replaced, 'record')} replaced{left_out}"
        )
    elif skipped:
        yield f"  {files} had bad records: {show_count(skipped)} left out"
    if ledger["carriage_returns"]:
        lines = show_many(ledger["carriage_returns"], "line")
        yield rf"  {lines} ended in \r\n: the \r was removed (--newline lf keeps it)"


def _advice(manifest: Manifest, snapshot: Snapshot | None) -> Iterator[str]:
    """Yield what the user may want to know about the result and how it came about."""
    if not manifest.records and manifest.ledger["bytes_in"]:  # Of no input the plan has warned.
        function = "reducer" if manifest.ledger["reduced"] else "combiner"
        if not manifest.ledger["emitted"]:
            function = "mapper"
        yield f"  warning: the output is empty: the {function} emitted nothing"
    yield from _mixed(manifest)
    if manifest.settings.boundaries is not None:
        yield _order(manifest, len(manifest.settings.boundaries) + 1)
    else:
        yield from _skew(manifest, snapshot)
    if snapshot is not None:
        yield from _uploaded(snapshot)
        yield from _kept(snapshot)
        yield from _slowest(snapshot)
        yield from _attempts(snapshot)
        yield from show_prints(snapshot)
    if manifest.counters:
        shown = [
            f"{show_text(name)} {number:,}"
            for name, number in list(manifest.counters.items())[:COUNTERS_SHOWN_MAX]
        ]
        more = len(manifest.counters) - len(shown)
        yield f"  counters: {' · '.join(shown)}{f' · {more} more' if more else ''}"


def show_prints(snapshot: Snapshot) -> Iterator[str]:
    """Yield how much the job's own code has printed, and where it is."""
    printed, left_out = snapshot.printed
    if printed:
        lost = f", {show_size(left_out)} of it left out" if left_out else ""
        yield f"  printed: {show_size(printed)}{lost}; pymr logs {show_text(snapshot.name)}"


def _kept(snapshot: Snapshot) -> Iterator[str]:
    """Yield what a resumed run did not do again."""
    maps, reduces = snapshot.kept
    if maps or reduces:
        kept = [show_many(maps, "map task"), *([show_many(reduces, "reduce task")] * bool(reduces))]
        yield f"  kept from before: {', '.join(kept)}"


def _uploaded(snapshot: Snapshot) -> Iterator[str]:
    """Yield how much of the input was put into the store."""
    upload = snapshot.upload
    if upload is not None:
        there = f", {upload.files_kept:,} of them there before" if upload.files_kept else ""
        files = show_many(upload.files, "input")
        yield f"  uploaded: {files}, {show_size(upload.bytes)}{there}"


def _mixed(manifest: Manifest) -> Iterator[str]:
    columns = manifest.columns
    mixed = [
        name
        for name, is_mixed in (("keys", columns.key_mixed), ("values", columns.value_mixed))
        if is_mixed
    ]
    if mixed:
        form = "text" if manifest.output_format == "tsv" else "JSON values"
        yield f"  {' and '.join(mixed)} have several types: they read back as {form}"


def _order(manifest: Manifest, parts: int) -> str:
    """Return what --sort has done, and how even those `parts` are that may have keys."""
    records = manifest.ledger["partition_records"]
    line = "  the parts follow each other in key order"
    if parts == 1 or not sum(records):
        return line
    ratio = max(records) * parts / sum(records)
    return f"{line}; the largest has {ratio:.2f} times an even share of the records"


def _skew(manifest: Manifest, snapshot: Snapshot | None) -> Iterator[str]:
    """Yield a warning if one of several partitions has most of the records."""
    records = manifest.ledger["partition_records"]
    total, partitions = sum(records), len(records)
    # With as few records as partitions, where they lie says nothing.
    if partitions < 2 or total <= partitions:  # noqa: PLR2004 - one partition has it all
        return
    if max(records) <= max(SKEW_SHARE, SKEW_RATIO / partitions) * total:
        return
    index = records.index(max(records))
    line = f"  warning: reducer {index} has {show_percent(max(records), total)} of data"
    largest = snapshot.reduce.largest if snapshot is not None else None
    if largest is not None and largest.attempt.task != index:
        largest = None
    key_share = _key_share(largest, total) if largest is not None else ""
    if largest is not None and not key_share and largest.groups > partitions:
        yield f"{line}; {_why_together(manifest.settings, largest.groups)}"
        return
    if manifest.settings.combiner is None and manifest.settings.reducer == "function":
        key_share += "; a combiner would make it less"
    yield line + key_share


def _key_share(receipt: Receipt, total: int) -> str:
    if receipt.largest_key is None:
        return ""
    if receipt.largest_group < KEY_SHARE_MIN * total:
        return ""  # It explains nothing.
    share = show_percent(receipt.largest_group, total)
    return f" (key {show_text(receipt.largest_key)}: {share} of records)"


def _why_together(settings: Settings, keys: int) -> str:
    """Return why many keys, none of them large, are in one partition."""
    if settings.partitioner is not None:
        return f"the job's partitioner gave it {keys:,} keys"
    seed = settings.partition_seed + 1
    return f"its {keys:,} keys hash alike: --partition-seed {seed} would part them"


def _slowest(snapshot: Snapshot) -> Iterator[str]:
    """Yield the task that took longest, if it is out of line with its phase."""
    state: PhaseState = max(snapshot.map, snapshot.reduce, key=lambda state: state.slowness)
    receipt = state.slowest
    if receipt is None or state.slowness <= SLOW_RATIO or receipt.wall_s < SLOW_S_MIN:
        return
    took, ratio = show_elapsed(receipt.wall_s), f"{state.slowness:.1f}x the median"
    line = f"  slowest: {receipt.attempt} {took} = {ratio}"
    yield line + _key_share(receipt, snapshot.reduce.records_committed)


def _attempts(snapshot: Snapshot) -> Iterator[str]:
    facts = []
    if snapshot.retried:
        facts.append(f"{show_many(snapshot.retried, 'attempt')} tried again")
    if snapshot.lost:
        facts.append(f"{show_count(snapshot.lost)} of them lost with their worker")
    if facts:
        yield f"  {', '.join(facts)}"
    yield from _backups(snapshot)
    if snapshot.healed:
        yield f"  {show_many(snapshot.healed, 'corrupt read')} healed: right at another try"
    if snapshot.replaced:
        times = "once" if snapshot.replaced == 1 else f"{show_count(snapshot.replaced)} times"
        yield f"  a task process was replaced {times}: its memory grew from task to task"
    if snapshot.strays:
        children = "child" if snapshot.strays == 1 else "children"
        yield f"  {show_count(snapshot.strays)} leftover {children} of attempts killed"


def _backups(snapshot: Snapshot) -> Iterator[str]:
    """Yield what a backup attempt has saved."""
    win = snapshot.backup_win
    if win is not None:
        more = snapshot.backups_won - 1
        yield (
            f"  backup of {win.attempt} won in {show_elapsed(win.took_s)}; the other attempt was at"
            f" {show_percent(win.other_share, 1)} after {show_elapsed(win.other_s)}"
            + (f"; {show_many(more, 'more backup')} won" if more else "")
        )


def _warnings(manifest: Manifest, snapshot: Snapshot | None) -> list[str]:
    seen = snapshot.warnings if snapshot is not None else []
    warnings = list(dict.fromkeys([*manifest.warnings, *seen]))
    lines = [f"  warning: {show_text(warning)}" for warning in warnings[:WARNINGS_SHOWN_MAX]]
    if len(warnings) > WARNINGS_SHOWN_MAX:
        more = show_many(len(warnings) - WARNINGS_SHOWN_MAX, "more warning")
        lines.append(f"  … {more}: pymr show {show_text(manifest.name)}")
    return lines


def _rows(manifest: Manifest, output: str, first_rows: Sequence[bytes]) -> list[str]:
    """Return the place of the output and its first rows."""
    place = show_text(output.rstrip("/"))
    if not first_rows:
        return [f"  output {place}/"]
    first = next((part.name for part in manifest.parts if part.records), "")
    lines = [f"  first records of {place}/{first}"]
    for row in first_rows[:ROWS_MAX]:
        cells = row[: 4 * ROW_CHARS_MAX].decode(errors="surrogateescape").split("\t")
        line = "    ".join(show_text(cell) for cell in cells)
        lines.append(f"    {_cut(line, ROW_CHARS_MAX)}")
    return lines


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
