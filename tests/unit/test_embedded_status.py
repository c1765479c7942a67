"""``ccx status``, for people and for programs."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace

import pytest

from ccx.cli.app import run
from ccx.embedded import record, status
from ccx.recovery.status import CopyStatus


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance ``try`` on this machine, which does not run yet."""
    folders = SimpleNamespace(run=tmp_path, var=tmp_path, etc=tmp_path, subnet=IPv4Network("10.230.0.0/20"))
    monkeypatch.setattr(status, "remembered", lambda instance: folders if instance == "try" else None)
    return tmp_path


def supervised(folder: Path, **states: str) -> None:
    """This process supervises parts, and each is itself."""
    entry, _ = record.begin(folder, "127.0.0.1:8443", "https://127.0.0.1:8443")
    entry.ready = True
    entry.parts = {name: record.PartRecord(state, os.getpid(), since=1.0, restarts=2) for name, state in states.items()}
    entry.save(folder)


def test_a_program_reads_the_parts_and_whether_they_are_ready(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supervised(installed, postgresql="ready", nats="ready")
    (installed / "recovery").mkdir()
    CopyStatus(kept=True, complete=2.0, base=1.0, base_bytes=7).save(installed)
    assert run(["status", "--instance", "try", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["running"], found["ready"], found["url"]) == (True, True, "https://127.0.0.1:8443")
    assert [part["part"] for part in found["parts"]] == ["supervisor", "postgresql", "nats"]
    nats = found["parts"][-1]
    assert (nats["state"], nats["pid"], nats["restarts"], nats["since"]) == (
        "ready", os.getpid(), 2, "1970-01-01T00:00:01+00:00",
    )  # fmt: skip
    assert found["memory"] == sum(part["memory"] for part in found["parts"]) > 0
    assert found["copy"]["complete_until"] == "1970-01-01T00:00:02+00:00"
    assert found["copy"]["recovery_file_made"] is False


def test_a_part_that_is_not_ready_is_the_exit_code(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    supervised(installed, postgresql="ready", nats="restarting")
    assert run(["status", "--instance", "try", "--output", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["ready"] is False
    assert run(["status", "--instance", "try"]) == 1
    assert "restarting" in capsys.readouterr().out


def test_what_does_not_run_is_said_in_either_way(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--instance", "try", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"instance": "try", "running": False, "ready": False}
    assert run(["status", "--instance", "try"]) == 1
    assert capsys.readouterr().out == "instance 'try' is not running\n"
