"""What the limit ranges of a namespace mean for pods that set no limit of CPU themselves.

A namespace may give a limit to each container that names none. Where that is below what ours ask
for, none of them could be made: they name one of their own, as far as the namespace lets them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from decimal import Decimal

from lightkube.models.core_v1 import LimitRangeItem
from lightkube.resources.core_v1 import LimitRange
from lightkube.utils.quantity import parse_quantity

from pymr.errors import ClusterError
from pymr.kubernetes.kube import Kube
from pymr.kubernetes.objects.pod import Needs


def container_limits(kube: Kube) -> list[LimitRangeItem]:
    """Return what limit ranges say of containers; nothing where this user may not look."""
    try:
        ranges = kube.list(LimitRange)
    except ClusterError as error:
        if error.fields.get("verb") is None:
            raise
        return []
    items = [item for each in ranges if each.spec is not None for item in each.spec.limits]
    return [item for item in items if item.type == "Container"]


def fit_cpu(needs: Needs, limits: Iterable[LimitRangeItem]) -> Needs:
    """Return what a container can be given of CPU where `limits` hold."""
    items = list(limits)
    most = _least((item.max or {}).get("cpu") for item in items)
    given = _least(((item.max or {}) | (item.default or {})).get("cpu") for item in items)
    asked = needs.cpu_milli if most is None else min(needs.cpu_milli, most)
    limit = asked if given is not None and given < asked else None
    return dataclasses.replace(needs, cpu_milli=asked, cpu_milli_max=limit)


def _least(quantities: Iterable[str | None]) -> int | None:
    """Return the least of them in thousandths of a core; None: there is none."""
    parsed = [parse_quantity(each) for each in quantities]
    return min((int(each * Decimal(1000)) for each in parsed if each is not None), default=None)
