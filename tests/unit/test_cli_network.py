"""``ccx network``: the contract for the settings of an instance on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ccx import settings
from ccx.cli.app import run
from ccx.cli.exits import Exit
from ccx.settings import CloudConfig, InstanceType, Paths, Region, Settings, VolumeType

LOCAL = CloudConfig(
    code="local",
    type="local",
    name="Local",
    regions=(Region(code="here", name="Here"),),
    instance_types=(InstanceType(code="small", name="Small", type="c1", cpu=1, ram=1),),
    volume_types=(VolumeType(code="ssd", name="SSD"),),
)


@pytest.fixture(autouse=True)
def instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = Settings(
        paths=Paths(etc=tmp_path, var=tmp_path, run=tmp_path), clouds=(LOCAL,), nats_url="nats://127.0.0.1:4222"
    )
    monkeypatch.setattr(settings, "load", lambda name: values)


def test_the_plan_is_a_table_or_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["network", "plan"]) == Exit.OK
    assert capsys.readouterr().out.startswith("PLANE")
    run(["network", "plan", "--output", "json"])
    rows = json.loads(capsys.readouterr().out)
    assert "rest.public" in {row["id"] for row in rows}


def test_a_plane_is_all_that_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run(["network", "plan", "--plane", "data", "-o", "json"])
    assert {row["plane"] for row in json.loads(capsys.readouterr().out)} == {"data"}
    assert run(["network", "plan", "--plane", "moon"]) == Exit.USAGE
    assert "Planes are: control" in capsys.readouterr().err


def test_a_format_for_machines_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["network", "plan", "--format", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)
    assert run(["network", "plan", "--format", "xml"]) == Exit.USAGE


def test_a_destination_is_explained_with_what_happens_when_it_is_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["network", "explain", "127.0.0.1:4222", "-o", "json"]) == Exit.OK
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["port"] == 4222 and row["when_blocked"] for row in rows)


def test_a_destination_that_nothing_connects_to_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["network", "explain", "example.com:443"]) == Exit.NOT_FOUND
    assert run(["network", "explain", "example.com:https"]) == Exit.USAGE
    assert capsys.readouterr().out == ""
