"""What becomes of a node's data that are given up for a copy of the leader's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent.mysql_seed import BEHIND, give_up


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    """A node that has data, and logs as MariaDB 11.8 leaves them."""
    (tmp_path / "data").mkdir()
    (tmp_path / "binlog" / "#binlog_cache_files").mkdir(parents=True)
    for name in ("binlog.000001", "binlog.000001.idx", "relay.index"):
        (tmp_path / "binlog" / name).write_text(f"in {name}\n")
    folders = {name: str(tmp_path / name) for name in ("data", "errant")}
    return {**folders, "binlogs": str(tmp_path / "binlog"), "rebuild_file": str(tmp_path / "rebuild")}


@pytest.mark.parametrize(("mark", "kept"), [("", ["in binlog.000001\n"]), (BEHIND, [])])
def test_all_of_it_goes_and_only_what_may_be_its_own_is_kept_apart(
    told: dict[str, Any], mark: str, kept: list[str]
) -> None:
    Path(told["rebuild_file"]).write_text(mark)
    give_up(told, ["cat"])
    assert not Path(told["data"]).exists()
    assert list(Path(told["binlogs"]).iterdir()) == []
    assert [path.read_text() for path in Path(told["errant"]).glob("*.sql")] == kept
