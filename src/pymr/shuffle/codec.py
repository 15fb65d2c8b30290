"""Keys and values to bytes and back: the plain form that any faster one must equal.

Types are exact: a subclass of a native type (a `StrEnum`, a `namedtuple`, `numpy.float64`)
would come back as its base, so it is refused as a key and pickled as a value.
"""

from pymr.shuffle.key_codec import decode_key, encode_key
from pymr.shuffle.value_codec import decode_value, encode_value

__all__ = ["decode_key", "decode_value", "encode_key", "encode_value"]
