"""XtraBackup, if it can be had: its packages are out of reach where CCX is made."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from agent.ccx_agent.copying import XtraBackup


@pytest.fixture
def program() -> str:
    found = shutil.which(XtraBackup.name)
    if found is None:
        pytest.skip("NOT RUN: there is no xtrabackup here, so what it is called with was never tried on it")
    return found


def test_it_knows_every_option_that_it_is_called_with(program: str) -> None:
    tool, told = XtraBackup(), {"server": "/my.cnf", "socket": "/s"}
    words = [
        *tool.command(told, {"to_lsn": "1"}, Path("/work")),
        *tool.prepare(Path("/fresh"), Path("/increment"), last=False),
    ]
    known = subprocess.run([program, "--no-defaults", "--help"], capture_output=True, text=True, check=False).stdout
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    assert {option for option in options if option not in known} == set()
