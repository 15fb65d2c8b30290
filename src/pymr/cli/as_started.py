"""What a command that starts nothing plans with: the settings of the machines of a run."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from pymr.cli.reach import access_to_run, at_a_glance
from pymr.cli.settings import refuse_elsewhere
from pymr.config import Resolved
from pymr.runner.plan import Request
from pymr.store.access import is_address, parse_address


def as_started(request: Request, resolved: Resolved, flags: dict[str, Any]) -> Request:
    """Return a request as `pymr start` would plan it; this machine may be none of the run's.

    Raises:
        ConfigError: settings or flags do not fit where the run is to be, or packages are missing.
        ClusterError: inputs are in the storage of a namespace, and there is no way there.
    """
    settings = resolved.settings
    refuse_elsewhere(flags, settings.on)
    if settings.on == "local":
        return request
    from pymr.cluster.submit import for_hosts, of_all_workers

    if settings.on == "hosts":
        elsewhere = for_hosts(settings)
    else:
        from pymr.kubernetes.extra import require_extra

        require_extra()
        from pymr.kubernetes.start import settings_of_pods

        elsewhere = settings_of_pods(resolved)
    parse_address(elsewhere.output or elsewhere.store or "")  # Refused as a start would.
    if any(is_address(os.fsdecode(each)) for each in request.inputs):
        access = at_a_glance(access_to_run(settings, None))
        request = msgspec.structs.replace(request, access=access)
    return msgspec.structs.replace(request, settings=of_all_workers(elsewhere))
