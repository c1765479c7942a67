"""What the local cloud offers: sizes of servers. A caller may bring its own, as ``<cpus>x<GiB>``."""

from __future__ import annotations

import re

from ccx.errors import Invalid

INSTANCE_TYPES = {"tiny": (1, 1), "small": (1, 2), "medium": (2, 4), "large": (4, 8)}
"""CPUs and GiB of memory by type."""


def size_of(instance_type: str) -> tuple[int, int]:
    """CPUs and GiB of memory. Raises Invalid for a type that is neither in the catalogue nor a size."""
    if instance_type in INSTANCE_TYPES:
        return INSTANCE_TYPES[instance_type]
    if own := re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,3})", instance_type):
        return int(own[1]), int(own[2])
    known = ", ".join(INSTANCE_TYPES)
    raise Invalid(
        f"there is no instance type {instance_type!r}",
        field="instance_type",
        remedy=f"Use {known}, or a size such as 2x4",
    )
