"""Whom ``ccx up --resolve`` tells on this machine, by how its programs look names up."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccx.embedded import host_names

STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\n"
UPLINK = "nameserver 192.0.2.53\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With systemd-resolved running, and a resolv.conf that leads elsewhere."""
    resolved = tmp_path / "run"
    resolved.mkdir()
    (resolved / "stub-resolv.conf").write_text(STUB)
    (resolved / "resolv.conf").write_text(UPLINK)
    (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
    (tmp_path / "resolv.conf").write_text(UPLINK)
    monkeypatch.setattr(host_names, "_RESOLVED", resolved)
    monkeypatch.setattr(host_names, "_NSSWITCH", tmp_path / "nsswitch.conf")
    monkeypatch.setattr(host_names, "_RESOLV_CONF", tmp_path / "resolv.conf")
    monkeypatch.setattr(host_names.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    return tmp_path


def _link(machine: Path, name: str) -> None:
    (machine / "resolv.conf").unlink()
    (machine / "resolv.conf").symlink_to(machine / "run" / name)


def test_programs_that_ask_its_stub_are_told_by_systemd_resolved(machine: Path) -> None:
    _link(machine, "stub-resolv.conf")

    assert host_names._is_resolved()
    assert host_names.problem() is None


def test_programs_that_ask_its_module_are_told_by_systemd_resolved(machine: Path) -> None:
    (machine / "nsswitch.conf").write_text("passwd: files\nhosts: files resolve [!UNAVAIL=return] dns\n")
    _link(machine, "resolv.conf")

    assert host_names._is_resolved()
    assert host_names.problem() is None


def test_beside_a_systemd_resolved_that_nobody_asks_the_file_is_written(machine: Path) -> None:
    assert not host_names._is_resolved()
    assert host_names.problem() is None


def test_a_list_of_servers_that_systemd_resolved_writes_is_refused_with_the_command_to_change_it(
    machine: Path,
) -> None:
    _link(machine, "resolv.conf")

    problem = host_names.problem()

    assert problem is not None
    assert problem.remedy == f"ln -sf {machine / 'run' / 'stub-resolv.conf'} {machine / 'resolv.conf'}"
