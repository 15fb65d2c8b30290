"""P4: records without a combiner, map to output, for three distributions of keys.

A record is a word and its length, so that reading costs little beside what is measured. The
CPU seconds are those of `pymr start` with all it does: start-up, reading, the user's loop, sort,
write, merge, reducer, output, digests. With ten values a key, PySpark, Dask Bag and mrjob do the
same once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from answers import answer_of, expect_equal
from command import FOLDER, HERE, WORKERS, command_side, pymr_start
from contest import Figure, Measure, wall_ratio
from peer import Peer, obstacle, peer_side
from random_words import Kind, words_file
from sizes import FULL, Sizes

SHOWN: dict[Kind, str] = {
    "zipf": "Zipf",
    "ten": "ten values a key",
    "distinct": "all keys different",
}
NANOSECONDS_MAX: dict[Kind, float] = {"zipf": 180, "ten": 350, "distinct": 620}
PEERS: dict[Peer, tuple[str, float]] = {  # script, and how many times as fast PyMR is to be
    "PySpark": ("group_sum_spark.py", 5),
    "Dask Bag": ("group_sum_dask.py", 8),
    "mrjob": ("group_sum_mrjob.py", 20),
}


def group_sum(sizes: Sizes, kind: Kind, *, with_peers: bool) -> Measure:
    records = sizes.records
    is_full = records >= FULL.records
    text = words_file(FOLDER, kind, records)
    expected, ours = FOLDER / "sums-dict.tsv", FOLDER / "sums-pymr"
    script = [sys.executable, str(HERE / "peers/group_sum_dict.py"), str(text), str(expected)]
    pymr = pymr_start(HERE / "workers/group_sum.py", text, ours)
    sides = [
        command_side("pymr start", pymr, output=ours),
        command_side("a dict, one process", script, output=expected, once=True),
    ]
    figures = [
        Figure(
            "P4",
            f"{SHOWN[kind]}, CPU a record",
            lambda took: took["pymr start"].cpu / records * 1e9,
            "ns",
            NANOSECONDS_MAX[kind],
            full_size=is_full,
        )
    ]
    outputs: dict[Peer, Path] = {}
    skipped = []
    for peer, (name, factor) in PEERS.items() if with_peers and kind == "ten" else ():
        if reason := obstacle(peer):
            skipped.append(reason)
            continue
        outputs[peer] = FOLDER / f"sums-{peer.replace(' ', '-')}"
        sides.append(peer_side(peer, name, text, outputs[peer], once=True))
        figures.append(_times_faster(peer, factor, is_full=is_full))

    def check() -> None:
        found = {peer: answer_of(output) for peer, output in outputs.items()}
        expect_equal(answer_of(expected), pymr=answer_of(ours), **found)

    return Measure(
        name=f"group_sum_{kind}",
        about=f"sum of values, {records:,} records, {SHOWN[kind]}, {WORKERS} workers",
        sides=sides,
        figures=figures,
        check=check,
        skipped=tuple(skipped),
    )


def _times_faster(peer: Peer, factor: float, *, is_full: bool) -> Figure:
    return Figure(
        "P4",
        f"{peer} ÷ PyMR, wall",
        wall_ratio(peer, "pymr start"),
        "",
        factor,
        at_least=True,
        full_size=is_full,
    )
