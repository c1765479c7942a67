"""What an APT row of the contract holds: suites, components, the packages that nodes install, and who signs them.

Entered in the ``endpoints.py`` that declares the row, so that an engine brings its packages with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccx.errors import Invalid

if TYPE_CHECKING:
    from ccx.settings import Settings

DISTRIBUTIONS = {
    "bookworm": "debian", "trixie": "debian", "focal": "ubuntu", "jammy": "ubuntu", "noble": "ubuntu",
}  # fmt: skip
"""Releases of nodes' operating systems that we know, by the name that suites carry."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One APT repository. Suites, path and packages may hold ``{codename}``, ``{distribution}`` and ``{version}``.

    Attributes:
        row: id of the contract's row that says where it is.
        suites: its suites, as a ``.sources`` file names them; none where the vendor doesn't say.
        path: what comes below the row's path.
        key: id of the row that its signing key comes from; empty where the node's own system knows the key.
        keyring: file on the node, with the key that the system came with.
        distributions: of nodes that use it.
        vendor: whose datastores use it; empty: all.
        topology: of the vendor's datastores only those; empty: all. What conflicts with each other never meets then.
        packages: what nodes install from it, by version on offer; under ``""`` for all versions.
        pins: what must be of the version ordered though the operating system has a newer one: packages, by pattern, and
            the pattern of their own version.
        base: it is the operating system's own, which packages of the others depend on.
    """

    row: str
    suites: tuple[str, ...]
    components: tuple[str, ...] = ("main",)
    path: str = ""
    key: str = ""
    keyring: str = ""
    distributions: tuple[str, ...] = ("debian", "ubuntu")
    vendor: str = ""
    topology: str = ""
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    base: bool = False

    def used_by(self, vendor: str, topology: str) -> bool:
        """Whether nodes of such a datastore are told of it."""
        return self.vendor in ("", vendor) and self.topology in ("", topology)

    def versions(self, settings: Settings) -> tuple[str, ...]:
        """Of its vendor on offer; a single empty one where versions don't matter to it."""
        offered = settings.database(self.vendor) if self.vendor else None
        if offered is None:
            return () if self.vendor else ("",)
        known = [v for v in self.packages if v]
        return tuple(v for v in offered.versions if v in known) if known else offered.versions

    def packages_of(self, version: str) -> tuple[str, ...]:
        """What a node of that version installs from here."""
        return tuple(
            name.format(version=version) for of in dict.fromkeys(("", version)) for name in self.packages.get(of, ())
        )

    def __post_init__(self) -> None:
        unknown = set(self.distributions) - set(DISTRIBUTIONS.values())
        if unknown:
            raise Invalid(f"{self.row}: no node runs {', '.join(sorted(unknown))}", field=self.row)


_entered: dict[str, Repository] = {}


def repository(**facts: object) -> Repository:
    """Enters a :class:`Repository`; the arguments are its attributes. Raises Invalid for a row that has one already."""
    made = Repository(**facts)  # type: ignore[arg-type]
    if made.row in _entered:
        raise Invalid(f"the repository of {made.row} is entered twice", field=made.row)
    _entered[made.row] = made
    return made


def repositories() -> tuple[Repository, ...]:
    """All of them, of all modules that declare, sorted by row. Raises Invalid where a row or key is in no contract."""
    from ccx.network import catalogue

    known = catalogue.load()
    for entry in _entered.values():
        for id_ in filter(None, (entry.row, entry.key)):
            if id_ not in known:
                raise Invalid(f"the repository of {entry.row} names {id_}, which the contract doesn't have")
    return tuple(_entered[row] for row in sorted(_entered))


def needed(settings: Settings) -> tuple[Repository, ...]:
    """Those that nodes use under these settings."""
    from ccx.network import catalogue

    known = catalogue.load()
    return tuple(r for r in repositories() if known[r.row].needed(settings) and r.versions(settings))
