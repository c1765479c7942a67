"""What operators are told of the connections that were seen."""

from __future__ import annotations

from typing import Any

from tests.integration.rest.conftest import Api

from ccx.db import utc_now
from ccx.network.observer import Seen
from ccx.runner.services import Services
from ccx.stores import observed


async def shown(operator: Api, query: str = "") -> dict[str, Any]:
    answer = await operator.get(f"/admin/network/observed{query}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_refused_and_undeclared_come_first_and_say_who_it_was(operator: Api, services: Services) -> None:
    reading = [
        Seen("10.0.1.9", 22, "tcp", 1, (), passed=4, refused=0, idle=5),
        Seen("10.0.1.9", 23, "tcp", 1, ("x.service",), passed=0, refused=2, idle=5),
        Seen("198.51.100.7", 80, "tcp", 1, ("y.service",), passed=1, refused=0, idle=7200),
    ]
    async with services.sessions.begin() as tx:
        await observed.add(tx, observed.CONTROL_PLANE, reading, {"1": "ccx"}, utc_now())

    told = await shown(operator)

    assert [(c["verdict"], c["port"], c["count"], c["rows"]) for c in told["connections"]] == [
        ("refused", 23, 2, []),
        ("declared", 22, 4, ["cmon.ssh"]),
    ]
    assert [(c["units"], c["user"], c["source"]) for c in told["connections"][:1]] == [
        (["x.service"], "ccx", "control-plane")
    ]
    assert "cmon.ssh" not in {row["id"] for row in told["unused"]}
    assert "node.control-plane" in {row["id"] for row in told["unused"]}
    longer = await shown(operator, "?since=10000")
    assert ("undeclared", 80) in {(c["verdict"], c["port"]) for c in longer["connections"]}


async def test_who_can_not_be_asked_is_named_with_the_reason(operator: Api) -> None:
    told = await shown(operator)
    assert [blind["source"] for blind in told["blind"]] == ["control-plane"]
    assert told["blind"][0]["why"]


async def test_a_span_that_is_none_is_refused(operator: Api) -> None:
    for bad in ("0", "-1", "99999999", "soon"):
        assert (await operator.get(f"/admin/network/observed?since={bad}")).status_code == 422
