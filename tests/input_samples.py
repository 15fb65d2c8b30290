"""Files for tests of inputs, in the working directory, and what is found of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymr.errors import InputError
from pymr.records.discover import DiscoverRules, Discovery, discover


def write(name: str | bytes, data: bytes = b"x\n") -> None:
    path = Path(os.fsdecode(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def find(*inputs: str | bytes, **rules: object) -> Discovery:
    return discover(inputs, DiscoverRules(**rules))


def names(*inputs: str | bytes, **rules: object) -> list[bytes]:
    return [file.path for file in find(*inputs, **rules).files]


def refused(*inputs: str | bytes, **rules: object) -> InputError:
    with pytest.raises(InputError) as caught:
        find(*inputs, **rules)
    assert caught.value.exit_code == 3
    return caught.value
