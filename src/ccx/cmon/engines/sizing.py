"""What the size of a node comes to, of all that its server is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_SMALL, _LARGE = (1024, 1), (64 * 1024, 32)


def implied(told: Callable[[int, int], Mapping[str, object]], memory_mib: int, cpus: int) -> dict[str, str]:
    """Of the parameters that ``told`` computes from MiB and CPUs, those that differ between sizes."""
    small, large = told(*_SMALL), told(*_LARGE)
    return {name: str(value) for name, value in told(memory_mib, cpus).items() if small[name] != large[name]}
