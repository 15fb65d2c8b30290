"""Whatever the inputs, a sample lies on their grid, and stands for all of them."""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pymr.core.plan import GRID_STEP_MAX, grid_step
from pymr.core.sample import SAMPLE_BYTES_MIN, Sample, plan_larger_sample, plan_sample
from pymr.core.spec import InputFile

SIZES = st.one_of(st.just(0), st.integers(0, 2000), st.integers(0, 40 << 20))
INPUTS = st.lists(
    st.builds(
        lambda size, stream: InputFile(
            b"x", size, GRID_STEP_MAX if stream else grid_step(size), stream=stream
        ),
        SIZES,
        st.booleans(),
    ),
    max_size=12,
)


@given(INPUTS, st.integers(2, 300), st.data(), st.none() | st.integers(0, 20_000))
def test_a_sample_is_made_of_cells_that_stand_for_all_bytes(
    inputs: list[InputFile], reducers: int, data: st.DataObject, emitted: int | None
) -> None:
    """In input order, none twice, none empty; a stream or a whole file is one split."""
    whole = data.draw(st.booleans())
    sample: Sample | None = plan_sample(inputs, reducers, whole=whole)
    assert sample is not None
    if emitted is not None:
        sample = plan_larger_sample(inputs, sample, emitted, whole=whole) or sample

    splits = [each.split for each in sample.splits]
    assert splits == sorted(set(splits), key=lambda split: (split.input, split.start))
    for each in sample.splits:
        split, file = each.split, inputs[each.split.input]
        assert 0 <= split.start < split.end <= file.size
        is_one = whole or file.stream
        assert split.start % (file.size if is_one else file.step) == 0
        assert split.end == file.size or (not is_one and split.end % file.step == 0)
        assert bool(each.places) == (file.stream and not whole)
        assert all(0 <= place < file.size for place in each.places)
        assert each.keys_max > 0
    total = sum(file.size for file in inputs)
    stood_for = sum(each.stands_for for each in sample.splits)
    assert stood_for == pytest.approx(total, rel=0.02)
    assert sample.bytes <= max(SAMPLE_BYTES_MIN, total // 16) or sample.places <= 1
    event("everything" if not sample.places else f"{min(sample.places, 129)} places")
