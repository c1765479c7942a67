"""The example of docs/operate/air-gap.md works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from ccx.network.kinds import Plane
from ccx.network.plan import Plan, plan
from ccx.network.render import render
from ccx.settings.values import read

PAGE = (Path(__file__).parents[2] / "docs/operate/air-gap.md").read_text()
VALUES, STAND_INS = (dedent(text) for text in re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE))
LISTED = re.search(r"--format list-domains\n(.*?) *```", PAGE, re.DOTALL)


@pytest.fixture
def plans(tmp_path: Path) -> tuple[Plan, Plan]:
    """Without the stand-ins, and with them."""
    values, stand_ins = tmp_path / "ccx.yaml", tmp_path / "air-gap.yaml"
    values.write_text(VALUES)
    stand_ins.write_text(STAND_INS)

    def made(*files: Path) -> Plan:
        return plan(read(files, None, environ={}).settings)

    return made(values), made(values, stand_ins)


def test_what_is_left_to_reach_is_what_the_page_says(plans: tuple[Plan, Plan]) -> None:
    assert LISTED is not None
    assert render(plans[1], "list-domains").split() == LISTED[1].split()


def test_machines_reach_nothing_but_what_is_inside_and_the_clock(plans: tuple[Plan, Plan]) -> None:
    before, after = (
        {host for row in made.select(Plane.CONTROL, Plane.DATA) for host in row.hosts if not host.startswith("group:")}
        for made in plans
    )
    assert {"apt.postgresql.org", "docker.io", "severalnines.com", "keystone.cloud.example"} <= before
    assert {host for host in after if not host.endswith(".corp")} == {"169.254.169.254", "ntp.ubuntu.com"}
