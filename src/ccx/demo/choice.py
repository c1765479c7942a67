"""What is demonstrated: a vendor in one of its topologies, as they are offered."""

from __future__ import annotations

from dataclasses import dataclass

from ccx.cmon.engines.mysql_family.percona.engine import STAND_IN
from ccx.demo.client import Client
from ccx.demo.mariadb import MariaDb
from ccx.demo.mysql import MySql
from ccx.demo.postgresql import PostgreSql
from ccx.errors import Invalid
from ccx.settings import Database, TypeOfCluster
from ccx.settings.vendors import OFFERS

_CLIENTS: dict[str, type[Client]] = {"mariadb": MariaDb, "percona": MySql, "postgres": PostgreSql}
"""By vendor: what an application of a user's speaks to it with."""

_STAND_INS = {"percona": OFFERS["percona"].model_copy(update={"name": "MySQL", "versions": (STAND_IN,)})}
"""By vendor whose packages are out of reach: what is shown in its place."""

USUAL = "postgres"


@dataclass(frozen=True)
class Choice:
    database: Database
    topology: TypeOfCluster
    client: Client

    @property
    def version(self) -> str:
        return self.database.versions[-1]

    @property
    def usual(self) -> bool:
        """Whether it is what the vendor makes of an order that names no topology."""
        return self.topology == self.database.types[0]

    @property
    def stands_in(self) -> bool:
        return self.database != OFFERS[self.database.code]

    def __str__(self) -> str:
        of = "" if self.usual else f" ({self.topology.name})"
        instead = f", in {OFFERS[self.database.code].name}'s place" if self.stands_in else ""
        return f"{self.database.name} {self.version}{of}{instead}"

    def order(self) -> tuple[str, ...]:
        """Options of ``ccx datastore create``."""
        kind = () if self.usual else ("--type", self.topology.code)
        return ("--vendor", self.database.code, "--version", self.version, *kind)

    def settings(self) -> tuple[str, ...]:
        """Options of ``ccx up`` that put it on offer."""
        if self.database.code == USUAL:
            return ()
        offer = self.database.code
        if self.stands_in:
            offer = f'{{code: {offer}, name: {self.database.name}, versions: ["{self.version}"]}}'
        return ("--set", f"databases=[{USUAL}, {offer}]")


def choose(vendor: str = USUAL, topology: str = "") -> Choice:
    """Raises Invalid for what there is not, and names what there is."""
    if vendor not in _CLIENTS:
        raise Invalid(
            f"there is nothing to show of {vendor!r}", field="--vendor", remedy=f"Choose {' or '.join(_CLIENTS)}"
        )
    database = _STAND_INS.get(vendor, OFFERS[vendor])
    kinds = {kind.code: kind for kind in database.types}
    if topology and topology not in kinds:
        others = [code for code in _CLIENTS if any(topology == kind.code for kind in OFFERS[code].types)]
        belongs = f"; it is one of --vendor {' or '.join(others)}" if others else ""
        raise Invalid(
            f"{database.name} has no topology {topology!r}{belongs}", field="--topology",
            remedy=f"With --vendor {vendor} choose {' or '.join(kinds)}",
        )  # fmt: skip
    return Choice(database, kinds[topology] if topology else database.types[0], _CLIENTS[vendor]())
