"""The base of everything that happens in a run; the families are in `events`."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="kind", tag=True):
    """The base of all events; `kind` is the class name."""
