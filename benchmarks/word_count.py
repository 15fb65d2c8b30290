"""P1 and P2: word count of Zipf text, a call of `emit` for each word, beside others.

The hand-written script for P1, DuckDB and Polars for P2. PyMR is run as a user runs it:
`pymr start`, with its ledger, journal, commit and digests.
"""

from __future__ import annotations

import sys

from answers import answer_of, expect_equal
from command import FOLDER, HERE, WORKERS, command_side, pymr_start
from contest import Figure, Measure, wall_ratio
from peer import Peer, peer_side
from sizes import FULL, Sizes
from zipf_text import zipf_file

SCRIPT = "multiprocessing + Counter"
WORKER = HERE.parent / "examples/wordcount/worker.py"
PEERS: dict[Peer, str] = {
    "DuckDB": "word_count_duckdb.py",
    "Polars": "word_count_polars.py",
}


def word_count(sizes: Sizes, *, with_peers: bool) -> Measure:
    megabytes = sizes.text_megabytes
    is_full = megabytes >= FULL.text_megabytes
    text = zipf_file(FOLDER, megabytes)
    outputs = {name: FOLDER / f"counts-{name}.tsv" for name in ("script", *PEERS)}
    ours = FOLDER / "counts-pymr"
    script = [sys.executable, str(HERE / "peers/word_count_multiprocessing.py")]
    sides = [
        command_side(SCRIPT, [*script, str(text), str(WORKERS), str(outputs["script"])]),
        command_side("pymr start", pymr_start(WORKER, text, ours), output=ours),
    ]
    figures = [
        Figure(
            "P1", f"÷ {SCRIPT}, wall", wall_ratio("pymr start", SCRIPT), "", 0.5, full_size=is_full
        )
    ]
    if with_peers:
        sides += [
            peer_side(peer, script, text, outputs[peer], once=False)
            for peer, script in PEERS.items()
        ]
        figures.append(
            Figure(
                "P2",
                "÷ the best of DuckDB and Polars, wall",
                lambda took: took["pymr start"].wall / min(took[peer].wall for peer in PEERS),
                "",
                0.3,
                full_size=is_full,
            )
        )

    def check() -> None:
        shown = PEERS if with_peers else ()
        found = {name: answer_of(outputs[name]) for name in shown}
        expect_equal(answer_of(outputs["script"]), pymr=answer_of(ours), **found)

    return Measure(
        name="word_count",
        about=f"word count, {megabytes} MB of Zipf text, {WORKERS} workers",
        sides=sides,
        figures=figures,
        check=check,
    )
