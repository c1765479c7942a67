"""What both engines that back up do on their nodes alike: what an earlier job left there is not taken for theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from tests.unit.cluster_specs import cluster

from ccx.cmon.backup import Findings, on_nodes
from ccx.cmon.engines.mysql_family import backing_up as mysql_family
from ccx.cmon.engines.postgres import proving as postgres
from ccx.cmon.node_channel import NodeUnreachable
from ccx.cmon.spec import NodeSpec

THREE = cluster("n1g1", "n2g1", "n3g1")
READERS = pytest.mark.parametrize("reader", [mysql_family.read_through, postgres.read_through])

Reader = Callable[..., Awaitable[Findings]]


class Nodes:
    """They do a task of a name once, as agents do, and know what it found until they are told to forget it."""

    def __init__(self) -> None:
        self.tasks: dict[tuple[str, str], str] = {}
        self.away: set[str] = set()
        self.in_store = ""
        """The backup that whoever reads it finds."""

    async def call(self, node: NodeSpec, verb: str, args: Any = None, **_: Any) -> dict[str, Any]:
        if node.label in self.away and not verb.endswith(("start", "state")):
            raise NodeUnreachable(f"{node.label} can't be reached")
        of = (node.label, args["name"].removeprefix("backup-"))
        if verb == "task-check":
            return {"state": "running" if of in self.tasks else "absent"}
        if verb.endswith("start"):
            self.tasks.setdefault(of, self.in_store)
        elif verb.endswith("state"):
            told = {"checked": [self.tasks[of]], "damaged": {}, "log": {}, "until": {}}
            return {"state": "done", "found": told, "lines": [f"backup: {self.tasks[of]}, status: valid, files"]}
        else:
            self.tasks.pop(of, None)
        return {}

    async def close(self) -> None: ...


async def unheard(_: dict[str, Any]) -> None: ...


@READERS
async def test_what_an_earlier_verification_found_is_never_told_as_news(reader: Reader) -> None:
    nodes = Nodes()
    nodes.in_store, nodes.away = "1F", {"n1g1"}  # it can't be reached just when it is told to forget
    assert (await reader(nodes, THREE, THREE.nodes[0], "job-1", None, 7, unheard)).checked == ("1F",)
    nodes.in_store, nodes.away = "2F", set()
    assert (await reader(nodes, THREE, THREE.nodes[0], "job-2", None, 8, unheard)).checked == ("2F",)


@READERS
async def test_one_that_goes_on_elsewhere_leaves_nothing_where_it_began(reader: Reader) -> None:
    nodes = Nodes()
    nodes.tasks["n1g1", "job-1"] = "1F"  # of before another node became primary
    nodes.in_store = "2F"
    assert (await reader(nodes, THREE, THREE.nodes[1], "job-1", None, 7, unheard)).checked == ("2F",)
    assert nodes.tasks == {}


async def test_a_backup_is_gone_on_with_where_it_was_begun_as_far_as_anybody_knows() -> None:
    nodes = Nodes()
    nodes.tasks["n3g1", "job-1"] = ""
    nodes.away = {"n2g1"}
    found = await on_nodes.begun(nodes, THREE, "job-1")
    assert found is not None
    assert found.label == "n3g1"
    assert await on_nodes.begun(nodes, THREE, "job-2") is None


@pytest.mark.parametrize("last", ["2026-11-28T05:00:00+00:00", None])
def test_an_agent_that_does_not_tell_when_it_gave_up_the_last_part_of_the_log_tells_when_the_first(
    last: str | None,
) -> None:
    first = "2026-11-28T04:00:00+00:00"
    found = {"oldest": 0, "newest": None, "volume": 1, "free": 1, "given_up": 2, "given_up_since": first}
    state = on_nodes.archive_state(found | ({"given_up_last": last} if last else {}), waiting=0)
    assert state.given_up_last == datetime.fromisoformat(last or first)
    assert on_nodes.archive_state(found | {"given_up": 0, "given_up_since": None}, waiting=0).given_up_last is None
