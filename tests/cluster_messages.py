"""Messages of every kind, for hypothesis: what `cluster.wire` must bring across."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pymr.cluster import message as m
from pymr.core import events
from pymr.core.spec import (
    Attempt,
    Code,
    EdgeSum,
    InputFile,
    JobSpec,
    MapSource,
    MapWork,
    Receipt,
    ReduceWork,
    Shape,
    Split,
    Stored,
)
from pymr.store.access import Access

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
BYTES = st.binary(max_size=20)
COUNTS = st.integers(0, (1 << 32) - 1)
SIZES = st.integers(0, (1 << 64) - 1)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | SIZES | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ERRORS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["InputError", "UserCodeError"]),
        "message": TEXTS,
        "hint": st.none() | TEXTS,
        "fields": st.dictionaries(TEXTS, PLAIN, max_size=3),
    }
)
MAYBE_ERRORS = st.none() | ERRORS
ATTEMPTS = st.builds(
    Attempt, st.sampled_from(["map", "reduce"]), COUNTS, st.integers(1, (1 << 32) - 1)
)
STORED = st.builds(Stored, TEXTS, SIZES, TEXTS)
SUMS = st.builds(EdgeSum, SIZES, SIZES, st.integers(0, (1 << 128) - 1))
RECEIPTS = st.builds(
    Receipt,
    attempt=ATTEMPTS,
    key=TEXTS,
    size=SIZES,
    code_digest=TEXTS,
    written=SUMS,
    counters=st.dictionaries(TEXTS, st.integers(-(1 << 62), 1 << 62), max_size=3),
)
FILES = st.builds(InputFile, BYTES, SIZES, SIZES, etag=st.none() | TEXTS)
SPLITS = st.builds(Split, COUNTS, SIZES, SIZES)
WORKS = st.one_of(
    st.builds(
        MapWork,
        st.lists(SPLITS, max_size=3).map(tuple),
        st.dictionaries(COUNTS, FILES, max_size=3),
        st.none() | TEXTS,
    ),
    st.builds(
        ReduceWork,
        COUNTS,
        st.lists(st.builds(MapSource, COUNTS, TEXTS, TEXTS, SIZES), max_size=3).map(tuple),
    ),
    st.builds(ReduceWork, COUNTS, STORED),
    STORED,
)
SHAPES = st.builds(
    Shape,
    input_format=TEXTS,
    reducer=st.none() | TEXTS,
    combiner=st.none() | TEXTS,
    digest=TEXTS,
)
SPECS = st.builds(
    JobSpec,
    run=TEXTS,
    name=TEXTS,
    worker=TEXTS,
    shape=SHAPES,
    reducers=COUNTS,
    boundaries=st.none() | st.lists(BYTES, max_size=3).map(tuple),
    params=st.dictionaries(TEXTS, TEXTS, max_size=3),
)
NOTES = st.one_of(
    st.builds(events.AttemptProgressed, ATTEMPTS, SIZES, SIZES),
    st.builds(events.MemoryMeasured, SIZES, SIZES),
    st.builds(events.Warned, TEXTS),
)
PROGRESS = st.builds(m.Progress, ATTEMPTS, SIZES, SIZES)
FAILURES = st.builds(
    m.Failure,
    error=ERRORS,
    retryable=st.booleans(),
    signature=TEXTS,
    kind=st.sampled_from(m.FailureKind),
)
FROM_WORKER: st.SearchStrategy[m.FromWorker] = st.one_of(
    st.builds(
        m.Hello,
        TEXTS,
        SIZES,
        TEXTS,
        st.lists(
            st.builds(
                m.Held,
                ATTEMPTS,
                TEXTS,
                st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
            ),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(m.Ask, COUNTS, COUNTS),
    st.builds(m.Renew, st.lists(PROGRESS, max_size=3).map(tuple), MAYBE_ERRORS),
    st.builds(m.Started, ATTEMPTS, TEXTS),
    st.builds(m.Noted, NOTES),
    st.builds(m.Leaving, TEXTS, MAYBE_ERRORS),
    st.builds(m.Completion, SIZES, SIZES, ATTEMPTS, st.one_of(RECEIPTS, STORED, FAILURES)),
)
FOR_WORKER: st.SearchStrategy[m.ForWorker] = st.one_of(
    st.builds(m.Grant, epoch=SIZES, attempt=ATTEMPTS, key=TEXTS, work=WORKS, alone=st.booleans()),
    st.builds(m.Revoke, ATTEMPTS),
    st.builds(m.Drain, TEXTS),
    st.builds(m.Done, MAYBE_ERRORS),
    st.builds(m.CompletionReply, st.sampled_from(m.Verdict), MAYBE_ERRORS, SIZES),
)
MESSAGES: dict[type, st.SearchStrategy[Any]] = {
    m.RegisterRequest: st.builds(
        m.RegisterRequest,
        run=TEXTS,
        host=TEXTS,
        pid=COUNTS,
        pymr=TEXTS,
        python=TEXTS,
        slots=COUNTS,
        protocol=COUNTS,
    ),
    m.RegisterReply: st.builds(
        m.RegisterReply,
        worker=TEXTS,
        run=TEXTS,
        epoch=SIZES,
        lease_s=st.floats(0, 1e6),
        root=TEXTS,
        access=st.builds(Access, endpoint=st.none() | TEXTS, secret_access_key=st.none() | TEXTS),
        spec=SPECS | STORED,
        code=st.builds(Code, path=st.none() | TEXTS, pickle=st.none() | BYTES),
        settings=st.builds(m.WorkerSettings, is_watched=st.booleans()),
    ),
    m.StatusRequest: st.builds(m.StatusRequest, TEXTS),
    m.StatusReply: st.builds(
        m.StatusReply,
        run=TEXTS,
        epoch=SIZES,
        state=TEXTS,
        workers=COUNTS,
        slots=COUNTS,
        detail=st.dictionaries(TEXTS, PLAIN, max_size=3),
    ),
    m.CancelRequest: st.builds(m.CancelRequest, TEXTS),
    m.CancelReply: st.builds(m.CancelReply, st.booleans()),
}
