"""In which order a cluster ends that another one takes the place of, so that the end of its log is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.cluster_specs import cluster
from tests.unit.test_cmon_mariadb_backup import REPOSITORY

from ccx.cmon.engines.mysql_family import handover as mysql_family
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.engines.mysql_family.mariadb.galera.flavour import GALERA
from ccx.cmon.engines.postgres import handover as postgres
from ccx.cmon.node_channel import NodeUnreachable
from ccx.cmon.spec import ClusterView, MemberView, NodeSpec, Role

THREE = replace(cluster("n1g1", "n2g1", "n3g1"), backup=REPOSITORY)
SHIPPER, SERVER, KEEPER = "ccx-mariadb-ship.service", "ccx-mariadb.service", "ccx-keeper.service"
PRIMARY_LAST = [("n2g1", [KEEPER]), ("n3g1", [KEEPER]), ("n1g1", [KEEPER, SHIPPER, SERVER]), ("n1g1", "stored")]
REPLICAS_THEN = [("n2g1", [SHIPPER, SERVER]), ("n3g1", [SHIPPER, SERVER])]
MEMBERS_FIRST = [("n2g1", [KEEPER, SHIPPER, SERVER]), ("n3g1", [KEEPER, SHIPPER, SERVER]), *PRIMARY_LAST[2:]]


class Channel:
    """Notes who was told to end what, in that order."""

    def __init__(self, away: str = "") -> None:
        self.told: list[tuple[str, Any]] = []
        self._away = away

    async def call(self, node: NodeSpec, verb: str, args: Any = None, **_: Any) -> dict[str, Any]:
        if node.label == self._away:
            raise NodeUnreachable(f"{node.label} can't be reached")
        self.told.append((node.label, args["stop"] if verb == "services" else "stored"))
        return {}

    async def close(self) -> None: ...


def view(*, answers: bool) -> ClusterView:
    """The first leads; a primary that was too slow for a look is named by the others."""
    first = MemberView("n1g1", Role.PRIMARY, "running" if answers else "silent", "192.0.2.1", healthy=answers)
    others = (MemberView(label, Role.REPLICA, "streaming", "192.0.2.9", healthy=True) for label in ("n2g1", "n3g1"))
    return ClusterView((first, *others), "n2g1")


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize(
    ("flavour", "order"),
    [(MARIADB, [*PRIMARY_LAST, *REPLICAS_THEN]), (GALERA, MEMBERS_FIRST)],
    ids=["mariadb", "galera"],
)
async def test_who_leads_ends_when_nobody_can_take_its_place_and_its_logs_end_is_stored(
    flavour: Any, order: list[tuple[str, Any]], answers: bool
) -> None:
    channel = Channel()
    await mysql_family.stop(flavour, channel, THREE, view(answers=answers), 7)
    assert channel.told == order


@pytest.mark.parametrize("answers", [True, False])
async def test_postgresql_ends_on_its_replicas_first(answers: bool) -> None:
    channel = Channel()
    await postgres.stop(channel, THREE, view(answers=answers), 7)
    assert [label for label, _ in channel.told] == ["n2g1", "n3g1", "n1g1"]


async def test_of_a_primary_that_is_away_nothing_is_stored_and_the_others_end_all_the_same() -> None:
    channel = Channel(away="n1g1")
    await mysql_family.stop(MARIADB, channel, THREE, view(answers=False), 7)
    assert channel.told == [*PRIMARY_LAST[:2], *REPLICAS_THEN]
