"""Where a replica's data come from, and what has to outlive the power of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent.ccx_agent import mariadb_prepare


def test_up_to_where_a_copy_goes_is_on_the_disk_before_the_copy_is_the_nodes_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the copy would go on from where its leader once was a replica, and apply the rest a second time."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "agent")
    synced: list[str] = []
    from ccx_agent import durable  # type: ignore[import-not-found]

    real = durable.os.fsync

    def fsync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr(durable.os, "fsync", fsync)
    monkeypatch.setattr("ccx_agent.keeper_web.client_context", lambda _: None)
    monkeypatch.setattr("ccx_agent.mysql_seed.leader", lambda _: ("n1g1", "10.0.0.1"))
    monkeypatch.setattr("ccx_agent.mariadb_fresh.copy", lambda *_: None)
    monkeypatch.setattr("ccx_agent.mariadb_fresh.last_transaction", lambda _: "0-1-57")
    told = {"port": 8010, "tls": {}, "progress_file": "", "copied_file": str(tmp_path / "copied")}
    mariadb_prepare._copy(told, tmp_path / "data.new")
    assert (tmp_path / "copied").read_text() == "0-1-57"
    assert [name for name in synced if name.startswith(".copied.")], "its content"
    assert tmp_path.name in synced, "its name"
