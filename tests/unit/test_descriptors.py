"""Whose fault a closed descriptor is."""

from __future__ import annotations

import errno

import pytest

from pymr.errors import ResourceError
from pymr.task.descriptors import is_closed


def raised_from(error: BaseException, cause: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


def test_a_closed_descriptor_is_found_behind_other_errors() -> None:
    """However deep; another error is none."""
    closed = OSError(errno.EBADF, "bad")

    assert is_closed(raised_from(ValueError(), raised_from(KeyError(), closed)))
    assert not is_closed(raised_from(ValueError(), OSError(errno.ENOSPC, "full")))
    assert not is_closed(None)


def test_an_error_that_is_its_own_cause_has_an_end() -> None:
    """What `emit` raised goes through user code, and is raised from itself."""
    full = ResourceError("cannot write a spill")

    assert not is_closed(raised_from(full, full))
