"""Conditions over settings that can also say in words when they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccx.settings import Settings


@dataclass(frozen=True)
class When:
    """A predicate over settings, and its words for a person."""

    predicate: Callable[[Settings], bool]
    words: str

    def __call__(self, settings: Settings) -> bool:
        return self.predicate(settings)

    def __and__(self, other: When) -> When:
        return When(lambda s: self(s) and other(s), f"{_grouped(self.words)} and {_grouped(other.words)}")

    def __or__(self, other: When) -> When:
        return When(lambda s: self(s) or other(s), f"{self.words} or {other.words}")


def _grouped(words: str) -> str:
    return f"({words})" if " or " in words else words


ALWAYS = When(lambda _: True, "always")


def on_cloud(*types: str) -> When:
    """A cloud of one of these types is configured."""
    return When(lambda s: any(c.type in types for c in s.clouds), f"a cloud of type {' or '.join(types)} is configured")


def for_vendor(*codes: str) -> When:
    """One of these vendors is on offer."""
    return When(lambda s: any(s.database(c) is not None for c in codes), f"{' or '.join(codes)} is on offer")


def for_topology(vendor: str, topology: str) -> When:
    """This topology of the vendor's is on offer."""

    def offered(settings: Settings) -> bool:
        database = settings.database(vendor)
        return database is not None and any(kind.code == topology for kind in database.types)

    return When(offered, f"{vendor} with {topology} is on offer")


def for_version(vendor: str, version: str, name: str) -> When:
    """This version of the vendor's is on offer. ``name``: the vendor's, for people."""

    def offered(settings: Settings) -> bool:
        database = settings.database(vendor)
        return database is not None and version in database.versions

    return When(offered, f"{name} {version} is on offer")


STOCK_IMAGES = When(
    lambda s: s.kubernetes.enabled or any(c.stock for c in s.clouds), "datastores' nodes start from stock images"
)
"""Nodes start with cloud-init only and install their packages."""

VENDORS_KEYS = When(lambda s: not s.mirror.key, "mirror.key is not set")
"""Nodes trust the vendors' keys, and fetch them."""
