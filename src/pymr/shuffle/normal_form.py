"""`--normalize`: the Unicode normal form of the text in a key."""

from __future__ import annotations

import unicodedata
from typing import Any

from pymr.shuffle.key_codec import KEY_DEPTH_MAX


def normalized(form: Any, key: Any, depth: int = 1) -> Any:
    """Return `key` with each exact str in it in the normal form `form`, also in its tuples."""
    if type(key) is str:
        return unicodedata.normalize(form, key)
    if type(key) is tuple and depth <= KEY_DEPTH_MAX:
        return tuple(normalized(form, item, depth + 1) for item in key)
    return key
