"""Where what is in the store. Each generation of the control plane writes below a prefix of its own, nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

ROLE = "ccx_backup"
"""Of the database: may copy it, and keep its log. The system user is let in as it."""

ALL = "control-plane/"


def instance_prefix(instance: str) -> str:
    """Of all that an instance's control plane keeps."""
    return f"{ALL}{instance}/"


def claims_prefix(instance: str) -> str:
    return f"{instance_prefix(instance)}claims/"


def instances(keys: list[str]) -> list[str]:
    """Those that have something in the store, by all its keys below ``control-plane/``."""
    return sorted({key.split("/")[1] for key in keys if key.startswith(ALL) and key.count("/") > 1})


@dataclass(frozen=True)
class Series:
    """What one generation writes: its sealed key, the configuration, base copies, the log as one stretch of bytes."""

    instance: str
    generation: int

    @property
    def prefix(self) -> str:
        return f"{instance_prefix(self.instance)}g{self.generation:08d}/"

    @property
    def key(self) -> str:
        """The data key, sealed by the wrapping key."""
        return f"{self.prefix}key"

    @property
    def configuration(self) -> str:
        """The instance's ``/etc``, sealed by root's own key."""
        return f"{self.prefix}configuration"

    @property
    def bases(self) -> str:
        return f"{self.prefix}base/"

    def part(self, label: str, number: int) -> str:
        return f"{self.bases}{label}/{number:06d}"

    def manifest(self, label: str) -> str:
        """Put last: a base without it is none."""
        return f"{self.bases}{label}/manifest"

    @property
    def log(self) -> str:
        return f"{self.prefix}log/"

    def chunk(self, start: int, end: int) -> str:
        """Bytes ``start`` to ``end`` of the log."""
        return f"{self.log}{start:016X}-{end:016X}"


def series_of(instance: str, keys: list[str]) -> list[Series]:
    """The generations that wrote something, oldest first."""
    start = len(instance_prefix(instance))
    found = {key[start:].partition("/")[0] for key in keys}
    return [Series(instance, int(name[1:])) for name in sorted(found) if name[:1] == "g" and name[1:].isdigit()]


def span(chunk: str) -> tuple[int, int]:
    """From where to where a chunk of the log goes, by its key."""
    start, _, end = chunk.rpartition("/")[2].partition("-")
    return int(start, 16), int(end, 16)
