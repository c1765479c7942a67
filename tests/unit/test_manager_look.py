"""Whose word is waited for when a cluster's managers are asked."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.cluster_specs import cluster

from ccx.cmon.manager.look import Report, reports_of
from ccx.cmon.spec import NodeSpec
from ccx.errors import Transient

_TAKES = {"n1g1": 0.0, "n2g1": 0.8}
"""Seconds for an answer; the third node gives none."""


async def answer(node: NodeSpec, within: float) -> Report:
    if node.label not in _TAKES:
        raise Transient("silent")
    async with asyncio.timeout(within):
        await asyncio.sleep(_TAKES[node.label])
    return {"label": node.label}


@pytest.mark.parametrize(("patiently", "heard"), [(False, {"n1g1"}), (True, {"n1g1", "n2g1"})])
async def test_one_that_is_slow_is_passed_over_at_a_glance_and_heard_where_something_is_decided(
    patiently: bool, heard: set[str]
) -> None:
    found = await reports_of(cluster("n1g1", "n2g1", "n3g1"), answer, patiently=patiently)
    assert set(found) == heard
    assert all(report["label"] == label for label, report in found.items())
