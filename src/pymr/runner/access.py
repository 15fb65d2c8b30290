"""How the stores of a run are reached: found out only where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pymr.config import Settings
from pymr.core.spec import InputFile
from pymr.store.access import AMBIENT, Access, is_address


def access_for(settings: Settings, places: Iterable[str | bytes]) -> Access:
    """Return what opens the stores among `places`: inputs as they were given, the output.

    Without an address among them no variable and no file is looked at.

    Raises:
        ConfigError: a variable or file is wrong.
    """
    if not any(is_address(os.fsdecode(place)) for place in places):
        return AMBIENT
    from pymr.store.credentials import access_of

    return access_of(settings, os.environ, os.path.expanduser("~"))


def access_to(settings: Settings, inputs: Iterable[InputFile], output: str) -> Access:
    """Return what opens the stores of inputs that were found before, and of the output."""
    return access_for(settings, [output, *(file.path for file in inputs if file.etag is not None)])
